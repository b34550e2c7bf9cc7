"""Hosts at AWS, made and removed by the real playbooks against moto's server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.aws_account import HOST_KEY, ISOLATION, REGION, AwsAccount
from tests.support.aws_operator import SETTINGS, Operator, told

NAME = "order-service-production"
HOST_ROLE = f"{NAME}-orders-1"
KEEP, ALL = "remove production", "remove production and its data"
FROM_NOWHERE, FROM_NOWHERE_6 = "0.0.0.0/0", "::/0"


@pytest.fixture(scope="module")
def stranger(new_operator: Callable[..., Operator]) -> Operator:
    """One whom no AWS knows."""
    return new_operator(ISOLATION | {"AWS_ENDPOINT_URL": "http://127.0.9.9:1"})


@pytest.fixture(scope="module")
def operator(account: AwsAccount, new_operator: Callable[..., Operator]) -> Operator:
    """One who has run provision.yml, in check mode first."""
    operator = new_operator(account.environment)
    dry = operator.run("provision.yml", "--check").succeeded()
    assert dry.recap.changed > 0
    assert (
        "orders-1 will be made from debian-13-amd64-20261015-2001: t3.small, 20 GB, about 23 USD a"
        f" month, on demand, {REGION}, November 2026"
    ) in told(dry)
    assert account.hosts() == []
    assert account.names() == set()
    assert not (operator.stage / ".ssh").exists()
    operator.run("provision.yml").succeeded()
    return operator


def test_wrong_settings_are_refused_before_aws_is_asked(stranger: Operator) -> None:
    run = stranger.run(
        "provision.yml",
        aws_region="Frankfurt",
        aws_ssh_sources=[FROM_NOWHERE, FROM_NOWHERE_6, "198.51.100.7/24"],
        aws_hosts=[{"name": "orders-1", "type": "small", "disk_gb": 1}, {"name": "orders-1"}],
        aws_backup_bucket="My_Bucket",
        aws_backup_days=0,
        aws_ssh_source=["198.51.100.0/24"],
    )
    assert run.returncode != 0
    for problem in (
        'aws_region is "Frankfurt", expected a region such as eu-central-1',
        f"aws_ssh_sources has {FROM_NOWHERE}, which is everybody",
        f"aws_ssh_sources has {FROM_NOWHERE_6}, which is everybody",
        'aws_ssh_sources has "198.51.100.7/24", expected a network',
        'aws_hosts has the type "small", expected a type such as t3.small',
        "aws_hosts has the disk_gb 1, expected 10 to 16384",
        "aws_hosts has orders-1 more than once",
        'aws_backup_bucket is "My_Bucket", expected 3 to 63',
        "aws_backup_days is 0, expected 1 to 36500",
        "aws_ssh_source is no setting, did you mean aws_ssh_sources",
    ):
        assert problem in told(run)
    assert "Ask AWS" not in run.output


def test_the_example_as_it_is_starts_nothing(stranger: Operator) -> None:
    example = stranger.ansible_folder / "inventories" / "aws"
    run = stranger.try_playbook("provision.yml", f"--inventory={example}")
    assert "aws_ssh_sources is empty, expected the networks" in told(run)
    assert "Ask AWS" not in run.output


def test_who_has_no_credentials_is_told_what_to_do(stranger: Operator) -> None:
    run = stranger.run("provision.yml", "--check")
    assert run.recap.failed == 1
    assert "Unable to locate credentials. Log in with `aws sso login` or `aws configure`" in told(
        run
    )
    assert "Traceback" not in run.output


@pytest.mark.extended
@pytest.mark.usefixtures("operator")
def test_a_host_is_as_the_guide_says(account: AwsAccount) -> None:
    (host,) = account.hosts()
    wanted = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert host["MetadataOptions"].items() >= wanted.items()
    assert {tag["Key"]: tag["Value"] for tag in host["Tags"]} == {
        "Name": "orders-1", "order_service": "production", "order_service_login": "admin",
    }  # fmt: skip
    protection = account.ec2.describe_instance_attribute(
        InstanceId=host["InstanceId"], Attribute="disableApiTermination"
    )
    assert protection["DisableApiTermination"]["Value"] is True
    (disk,) = account.disks()
    assert (disk["Encrypted"], disk["VolumeType"], disk["Size"]) == (True, "gp3", 20)
    assert host["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is False
    image = account.ec2.describe_images(ImageIds=[host["ImageId"]])["Images"][0]
    assert image["Name"] == "debian-13-amd64-20261015-2001"
    (address,) = account.ec2.describe_addresses()["Addresses"]
    assert (address["InstanceId"], address["PublicIp"]) == (
        host["InstanceId"], host["PublicIpAddress"]
    )  # fmt: skip


@pytest.mark.extended
@pytest.mark.usefixtures("operator")
def test_ssh_is_open_to_the_named_networks_only(account: AwsAccount) -> None:
    (host,) = account.hosts()
    assert [group["GroupName"] for group in host["SecurityGroups"]] == [NAME]
    everybody = {FROM_NOWHERE, FROM_NOWHERE_6}
    named = {*SETTINGS["aws_ssh_sources"]}
    assert account.rules() == {NAME: {22: named, 80: everybody, 443: everybody}}


@pytest.mark.extended
def test_the_key_pair_is_made_here(operator: Operator, account: AwsAccount) -> None:
    private = operator.stage / ".ssh" / "id_ed25519"
    assert private.stat().st_mode & 0o777 == 0o600
    known = account.ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert [key["KeyName"] for key in known] == [NAME]
    public = private.with_suffix(".pub").read_text().split()[:2]
    assert known[0]["PublicKey"].split()[:2] == public
    (host,) = account.hosts()
    assert host["KeyName"] == NAME


@pytest.mark.extended
@pytest.mark.usefixtures("operator")
def test_a_host_adds_to_its_folder_of_the_bucket_and_cannot_delete(account: AwsAccount) -> None:
    s3, iam = account.client("s3"), account.client("iam")
    bucket = {"Bucket": SETTINGS["aws_backup_bucket"]}
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"].values())
    (rule,) = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    assert rule["Expiration"]["Days"] == 30
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    (host,) = account.hosts()
    assert host["IamInstanceProfile"]["Arn"].endswith(f"/{HOST_ROLE}")
    policy = iam.get_role_policy(RoleName=HOST_ROLE, PolicyName="backups")["PolicyDocument"]
    allowed = [(one["Action"], one["Resource"]) for one in policy["Statement"]]
    assert allowed == [
        ("s3:ListBucket", "arn:aws:s3:::orders-copies"),
        (["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::orders-copies/orders-1/*"),
    ]


@pytest.mark.extended
def test_the_inventory_finds_the_host_and_trusts_its_key_alone(
    operator: Operator, account: AwsAccount
) -> None:
    (host,) = account.hosts()
    listed = operator.listed()
    assert listed["order_service"]["hosts"] == ["orders-1"]
    found = listed["_meta"]["hostvars"]["orders-1"]
    assert found["ansible_host"] == host["PublicIpAddress"]
    assert found["ansible_user"] == "admin"
    assert found["backup_destination"] == "s3://orders-copies/orders-1"
    assert found["backup_offsite_retention"] == "there"
    assert Path(found["ansible_ssh_private_key_file"]).is_file()
    known = operator.stage / ".ssh" / "known_hosts"
    assert known.read_text() == f"{host['InstanceId']} {HOST_KEY}\n"
    assert found["ansible_ssh_extra_args"] == (
        f'-o StrictHostKeyChecking=yes -o UserKnownHostsFile="{known}"'
        f" -o HostKeyAlias={host['InstanceId']}"
    )


@pytest.mark.extended
def test_the_playbooks_take_hosts_of_that_inventory(operator: Operator) -> None:
    """All but the login, for nothing listens at the address."""
    run = operator.run("deploy.yml")
    assert "production: orders-1" in told(run)
    assert (run.recap.failed, run.recap.unreachable) == (1, 0)
    assert "No login on orders-1 as admin at " in told(run)


@pytest.mark.extended
def test_a_second_run_changes_nothing_though_a_newer_image_is_out(
    operator: Operator, account: AwsAccount
) -> None:
    before = account.hosts()
    account.offer("debian-13-amd64-20261115-2101", datetime(2026, 11, 15, tzinfo=UTC))
    assert operator.run("provision.yml").succeeded().recap.changed == 0
    dry = operator.run("provision.yml", "--check").succeeded()
    assert dry.recap.changed == 0
    assert f"orders-1 is there ({before[0]['InstanceId']})" in told(dry)
    assert account.hosts() == before


@pytest.mark.extended
def test_what_has_drifted_is_put_right(operator: Operator, account: AwsAccount) -> None:
    (host,) = account.hosts()
    # All of them: moto drops what is not told.
    options = {k: v for k, v in host["MetadataOptions"].items() if k != "State"}
    account.ec2.modify_instance_metadata_options(
        InstanceId=host["InstanceId"], **options | {"HttpPutResponseHopLimit": 3}
    )
    group = host["SecurityGroups"][0]["GroupId"]
    account.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=3306, ToPort=3306, CidrIp=FROM_NOWHERE
    )
    assert operator.run("provision.yml").succeeded().recap.changed == 2
    (host,) = account.hosts()
    assert host["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    (found,) = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert {rule["FromPort"] for rule in found["IpPermissions"]} == {22, 80, 443}


@pytest.mark.extended
def test_another_type_is_refused_while_the_host_serves(
    operator: Operator, account: AwsAccount
) -> None:
    run = operator.run("provision.yml", aws_hosts=[{"name": "orders-1", "type": "t3.medium"}])
    assert run.recap.failed == 1
    assert "orders-1 (t3.small to t3.medium)" in told(run)
    assert account.hosts()[0]["InstanceType"] == "t3.small"


@pytest.mark.extended
def test_another_host_in_the_place_of_a_lost_one_has_its_address(
    operator: Operator, account: AwsAccount
) -> None:
    (lost,) = account.hosts()
    protection = {"DisableApiTermination": {"Value": False}}
    account.ec2.modify_instance_attribute(InstanceId=lost["InstanceId"], **protection)
    account.ec2.terminate_instances(InstanceIds=[lost["InstanceId"]])
    # As AWS does by itself then, and moto does not.
    account.ec2.disassociate_address(PublicIp=lost["PublicIpAddress"])
    operator.run("provision.yml").succeeded()
    (host,) = account.hosts()
    assert host["PublicIpAddress"] == lost["PublicIpAddress"]
    known = (operator.stage / ".ssh" / "known_hosts").read_text().splitlines()
    assert f"{host['InstanceId']} {HOST_KEY}" in known
    # A disk that outlives its host has no other use here.
    account.ec2.delete_volume(VolumeId=next(iter(account.free_disks())))


@pytest.mark.extended
def test_removal_asks_keeps_what_holds_data_and_ends(
    operator: Operator, account: AwsAccount
) -> None:
    for wrong in (None, "remove orders-1"):
        refused = operator.remove(wrong)
        assert refused.recap.failed == 1
        assert f'confirm="{KEEP}"' in told(refused)
    assert len(account.hosts()) == 1
    (disk,) = account.disks()
    first = operator.remove(KEEP).succeeded()
    assert f"kept: the disk {disk['VolumeId']}" in told(first)
    assert account.hosts() == []
    assert account.names() == {"orders-copies", disk["VolumeId"]}
    assert not (operator.stage / ".ssh").exists()
    assert not (operator.stage / "aws_ec2.yml").exists()
    assert operator.remove(KEEP).succeeded().recap.changed == 0
    operator.remove(ALL).succeeded()
    assert account.names() == set()
    assert operator.remove(ALL).succeeded().recap.changed == 0
