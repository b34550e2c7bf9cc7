"""Hosts of several parts at AWS, and what AWS runs for them, by the real playbooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.aws_account import AwsAccount
from tests.support.aws_operator import Operator, told
from tests.support.ports import HOST

pytestmark = pytest.mark.extended

NAME = "order-service-production"
KEEP, ALL = "remove production", "remove production and its data"
PARTS = {
    "orders-web-1": "web",
    "orders-web-2": "web",
    "orders-work": "worker",
    "orders-db": "database",
    "orders-lb": "balancer",
}
SHOP = {
    "aws_hosts": [
        {"name": "orders-web", "parts": ["web"], "count": 2},
        {"name": "orders-work", "parts": ["worker"]},
        {"name": "orders-db", "parts": ["database"]},
        {"name": "orders-lb", "parts": ["balancer"]},
    ]
}
AUTHORITIES = "-----BEGIN CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the authorities of AWS's databases are to be had."""
    folder = tmp_path_factory.mktemp("authorities")
    (folder / "bundle.pem").write_text(AUTHORITIES)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}/bundle.pem"
        server.shutdown()


@pytest.fixture(scope="module")
def managed(authorities: str) -> dict[str, Any]:
    """The settings of two web hosts, with AWS's own load balancer and MySQL."""
    return {
        "aws_hosts": [{"name": "orders-web", "parts": ["web"], "count": 2}],
        "aws_balancer": True,
        "aws_database_type": "db.t4g.small",
        "aws_database_ca_url": authorities,
        "aws_backup_bucket": "",
    }


@pytest.fixture(scope="module")
def operator(account: AwsAccount, new_operator: Callable[..., Operator]) -> Operator:
    """One who has a host that is a whole order service."""
    operator = new_operator(account.environment)
    operator.run("provision.yml", aws_backup_bucket="").succeeded()
    return operator


def groups_of(host: dict[str, Any]) -> set[str]:
    return {group["GroupName"] for group in host["SecurityGroups"]}


def by_name(account: AwsAccount) -> dict[str, dict[str, Any]]:
    return {
        next(tag["Value"] for tag in host["Tags"] if tag["Key"] == "Name"): host
        for host in account.hosts()
    }


def test_one_host_becomes_one_of_several(operator: Operator, account: AwsAccount) -> None:
    """With the groups of its parts, and without the one that lets everybody in."""
    grown = SHOP | {"aws_hosts": [{"name": "orders-1", "parts": ["web", "database"]}]}
    (before,) = account.hosts()
    operator.run("provision.yml", **grown).succeeded()
    (host,) = account.hosts()
    assert host["InstanceId"] == before["InstanceId"]
    assert groups_of(host) == {NAME, f"{NAME}.web", f"{NAME}.database"}
    assert set(account.rules()[NAME]) == {22}
    assert set(account.rules()[f"{NAME}.web"]) == {80, 443}
    assert operator.remove(ALL, **grown).succeeded()
    assert account.names() == set()


def test_hosts_of_each_part_are_made_and_found(operator: Operator, account: AwsAccount) -> None:
    dry = operator.run("provision.yml", "--check", **SHOP).succeeded()
    assert "orders-web-2 (web) will be made from debian-13" in told(dry)
    assert "Together about 116 USD a month" in told(dry)
    assert account.names() == set()
    operator.run("provision.yml", **SHOP).succeeded()
    hosts = by_name(account)
    assert {name: groups_of(host) for name, host in hosts.items()} == {
        name: {NAME, f"{NAME}.{part}"} for name, part in PARTS.items()
    }
    zones = {name: host["Placement"]["AvailabilityZone"] for name, host in hosts.items()}
    assert zones["orders-web-1"] != zones["orders-web-2"]
    # Who makes no backups has no way to their copies.
    assert {name for name, host in hosts.items() if "IamInstanceProfile" in host} == {"orders-db"}
    listed = operator.listed()
    for part in PARTS.values():
        assert listed[part]["hosts"] == [name for name in PARTS if PARTS[name] == part]
        assert part in listed["order_service"]["children"]
    found = listed["_meta"]["hostvars"]
    for name, host in hosts.items():
        assert found[name]["private_address"] == host["PrivateIpAddress"]
        assert found[name]["ansible_host"] == host["PublicIpAddress"]
        # Who calls the service calls the balancer.
        assert found[name]["public_names"] == [hosts["orders-lb"]["PublicIpAddress"]]
    assert found["orders-db"]["backup_destination"] == "s3://orders-copies/database"


def test_a_second_run_for_them_changes_nothing(operator: Operator) -> None:
    assert operator.run("provision.yml", **SHOP).succeeded().recap.changed == 0
    assert operator.run("provision.yml", "--check", **SHOP).succeeded().recap.changed == 0


def test_what_aws_runs_itself_is_made(
    operator: Operator, account: AwsAccount, managed: dict[str, Any]
) -> None:
    operator.remove(ALL, **SHOP).succeeded()
    assert account.names() == set()
    dry = operator.run("provision.yml", "--check", **managed).succeeded()
    for line in (
        f"The database {NAME} will be made: MySQL 9.7, db.t4g.small in two zones, 20 GB, about 60",
        "The load balancer orders-production will be made: ports 80 and 443 of the web hosts",
        "Together about 126 USD a month",
    ):
        assert line in told(dry)
    run = operator.run("provision.yml", **managed).succeeded()
    passwords = account.passwords(f"{NAME}-database")
    assert sorted(passwords) == ["admin", "service"]
    assert all(len(one) == 40 and one not in run.output for one in passwords.values())


def test_the_database_is_as_the_guide_says(account: AwsAccount) -> None:
    rds = account.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]
    wanted = {
        "Engine": "mysql", "MultiAZ": True, "StorageEncrypted": True, "StorageType": "gp3",
        "DeletionProtection": True, "PubliclyAccessible": False, "BackupRetentionPeriod": 7,
        "DBName": "orders", "MasterUsername": "admin",
    }  # fmt: skip
    assert database.items() >= wanted.items()
    (group,) = database["VpcSecurityGroups"]
    assert group["VpcSecurityGroupId"] == account.groups()[f"{NAME}.mysql"]["GroupId"]
    assert account.rules()[f"{NAME}.mysql"] == {3306: {f"{NAME}.web"}}
    (parameters,) = database["DBParameterGroups"]
    found = rds.describe_db_parameters(DBParameterGroupName=parameters["DBParameterGroupName"])
    values = {one["ParameterName"]: one.get("ParameterValue") for one in found["Parameters"]}
    assert values == {"require_secure_transport": "1", "transaction_isolation": "READ-COMMITTED"}


def test_the_load_balancer_asks_and_tells_as_the_hosts_expect(account: AwsAccount) -> None:
    elb = account.client("elbv2")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    assert (balancer["Type"], balancer["Scheme"]) == ("network", "internet-facing")
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    targets = {one["TargetGroupArn"]: one for one in elb.describe_target_groups()["TargetGroups"]}
    assert {one["Port"] for one in listeners} == {80, 443}
    for listener in listeners:
        target = targets[listener["DefaultActions"][0]["TargetGroupArn"]]
        assert target["Port"] == listener["Port"]
        check = target["HealthCheckProtocol"], target["HealthCheckPort"], target["HealthCheckPath"]
        assert check == ("HTTP", "80", "/lb-health")
        arn = {"TargetGroupArn": target["TargetGroupArn"]}
        attributes = {
            one["Key"]: one["Value"]
            for one in elb.describe_target_group_attributes(**arn)["Attributes"]
        }
        assert attributes["proxy_protocol_v2.enabled"] == "true"
        assert attributes["preserve_client_ip.enabled"] == "false"
        health = elb.describe_target_health(**arn)["TargetHealthDescriptions"]
        assert {one["Target"]["Id"] for one in health} == {
            host["InstanceId"] for host in account.hosts()
        }
    subnets = {one["CidrBlock"] for one in account.ec2.describe_subnets()["Subnets"]}
    assert account.rules()[f"{NAME}.web"] == {80: subnets, 443: subnets}


def test_the_inventory_has_the_database_and_who_calls(
    operator: Operator, account: AwsAccount
) -> None:
    """Passwords come from AWS, each time: no file has them."""
    names = ("database_url", "database_migrator_url", "database_ca", "public_names")
    found = operator.settings("orders-web-1", *names, "proxy_protocol", "trusted_proxies")
    (database,) = account.client("rds").describe_db_instances()["DBInstances"]
    passwords = account.passwords(f"{NAME}-database")
    place = f"{database['Endpoint']['Address']}:{database['Endpoint']['Port']}/orders"
    assert found["database_url"] == f"mysql+pymysql://service:{passwords['service']}@{place}"
    admin = f"mysql+pymysql://admin:{passwords['admin']}@{place}"
    assert found["database_migrator_url"] == admin
    assert Path(found["database_ca"]).read_text() == AUTHORITIES
    (balancer,) = account.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert found["public_names"] == [balancer["DNSName"]]
    assert found["proxy_protocol"] is True
    subnets = {one["CidrBlock"] for one in account.ec2.describe_subnets()["Subnets"]}
    assert set(found["trusted_proxies"]) == subnets
    written = [path.read_text() for path in operator.stage.rglob("*") if path.is_file()]
    assert not [text for text in written for one in passwords.values() if one in text]


def test_a_second_run_for_what_aws_runs_changes_nothing(
    operator: Operator, account: AwsAccount, managed: dict[str, Any]
) -> None:
    passwords = account.passwords(f"{NAME}-database")
    # AWS raises the last digits by itself.
    account.client("rds").modify_db_instance(DBInstanceIdentifier=NAME, EngineVersion="9.7.2")
    assert operator.run("provision.yml", **managed).succeeded().recap.changed == 0
    assert operator.run("provision.yml", "--check", **managed).succeeded().recap.changed == 0
    assert account.passwords(f"{NAME}-database") == passwords
    larger = operator.run("provision.yml", **managed | {"aws_database_type": "db.t4g.large"})
    assert larger.recap.failed == 1
    assert "(db.t4g.small to db.t4g.large) interrupts it" in told(larger)


def test_removal_keeps_a_snapshot_unless_told_otherwise(
    operator: Operator, account: AwsAccount, managed: dict[str, Any]
) -> None:
    run = operator.remove(KEEP, **managed).succeeded()
    rds = account.client("rds")
    (snapshot,) = rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    kept = {snapshot["DBSnapshotIdentifier"], f"{NAME}-database"}
    assert account.names() == kept | account.free_disks()
    for one in (
        f"the snapshot {snapshot['DBSnapshotIdentifier']}",
        f"the passwords {NAME}-database",
    ):
        assert f"kept: {one}" in told(run)
    assert account.hosts() == []
    assert not [path for path in operator.stage.iterdir() if path.name.startswith((".", "aws"))]
    assert operator.remove(KEEP, **managed).succeeded().recap.changed == 0
    operator.remove(ALL, **managed).succeeded()
    assert account.names() == set()
    assert operator.remove(ALL, **managed).succeeded().recap.changed == 0
