"""An AWS account of the tests' own: moto's server on loopback, with the images that count."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import boto3
import moto.settings
import urllib3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.responses import general
from moto.server import ThreadedMotoServer

from tests.support.aws_gaps import gaps
from tests.support.ports import HOST, free_port
from tests.support.service_process import REPOSITORY

REGION = "eu-central-1"
DEBIAN, DEBIAN_DAILY = "136693071363", "903794441882"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDETv2dLFIzM1vDSZBoEmTSQtcMP46QoiMlQ9UDNyZhk"
POLICY = REPOSITORY / "deploy/ansible/roles/aws/files/operator-policy.json"

# No other source of credentials is asked, and none on another machine.
ISOLATION = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


def console(host_key: str) -> str:
    """Return what cloud-init writes to the console of a host with this SSH key."""
    return f"""[   12.1] cloud-init[512]: started
-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY= root@ip-172-31-0-1
{host_key.strip()} root@ip-172-31-0-1
-----END SSH HOST KEY KEYS-----
"""


def operators_policy() -> list[dict[str, Any]]:
    """Return what the project says an operator needs, for all resources: moto knows none."""
    policy = json.loads(POLICY.read_text())
    return [statement | {"Resource": "*"} for statement in policy["Statement"]]


class AwsAccount:
    """Answers what AWS's API is asked; empty but for a default network and images."""

    def __init__(self) -> None:
        self._patches = ExitStack()
        changes: list[AbstractContextManager[Any]] = [
            *gaps(),
            patch.object(general, "SAMPLE_CONSOLE_OUTPUT", console(HOST_KEY)),
            patch.object(moto.settings, "ENABLE_AMI_VALIDATION", new=True),
            patch.object(moto.settings, "ENABLE_KEYPAIR_VALIDATION", new=True),
            patch.object(moto.settings, "EC2_ENABLE_INSTANCE_TYPE_VALIDATION", new=True),
        ]
        for change in changes:
            self._patches.enter_context(change)
        self._server = ThreadedMotoServer(HOST, free_port(), verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        # What an account before this one has left in the same process.
        urllib3.request("POST", f"{self.endpoint}/moto-api/reset", timeout=10)
        self._keys = self._user("owner", [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
        self._operator = self._user("operator", operators_policy())
        # From now on it asks who may do what.
        self._patches.enter_context(patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0))
        self.ec2 = self.client("ec2")
        self.offer("debian-13-amd64-20261015-2001", datetime(2026, 10, 15, tzinfo=UTC))
        self.offer("debian-13-arm64-20261015-2001", datetime(2026, 10, 15, tzinfo=UTC), "arm64")
        # Neither may be taken: a daily one, and one of somebody who takes the name.
        for owner in (DEBIAN_DAILY, "999999999999"):
            self.offer(
                "debian-13-amd64-20261120-2105", datetime(2026, 11, 20, tzinfo=UTC), owner=owner
            )

    def client(self, service: str) -> Any:
        """Return boto3's client of a service, for who may do everything."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint, **self._keys)

    def _user(self, name: str, statements: list[dict[str, Any]]) -> dict[str, str]:
        """Make a user with these rights, and return its keys as boto3 calls them."""
        nobody = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        iam = boto3.client("iam", region_name=REGION, endpoint_url=self.endpoint, **nobody)
        iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }

    def offer(
        self, name: str, made: datetime, architecture: str = "x86_64", owner: str = DEBIAN
    ) -> str:
        """Publish an image, and return its id."""
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
        image = f"ami-{len(backend.amis):017x}"
        backend.amis[image] = Ami(
            backend, image, name=name, owner_id=owner, public=True, architecture=architecture,
            creation_date=made, root_device_name="/dev/xvda", root_device_type="ebs",
            virtualization_type="hvm", hypervisor="xen", description=name,
        )  # fmt: skip
        return image

    @property
    def environment(self) -> dict[str, str]:
        """What sends a program there, as the user with the rights that the guide names."""
        keys = {name.upper(): value for name, value in self._operator.items()}
        return {"AWS_ENDPOINT_URL": self.endpoint, **keys, **ISOLATION}

    def hosts(self) -> list[dict[str, Any]]:
        """Return the instances that are not ended."""
        found = self.ec2.describe_instances()["Reservations"]
        hosts = [instance for one in found for instance in one["Instances"]]
        return [host for host in hosts if host["State"]["Name"] != "terminated"]

    def disks(self) -> list[dict[str, Any]]:
        """Return the volumes."""
        found: list[dict[str, Any]] = self.ec2.describe_volumes()["Volumes"]
        return found

    def free_disks(self) -> set[str]:
        """Return the ids of the volumes that no instance has."""
        return {disk["VolumeId"] for disk in self.disks() if disk["State"] == "available"}

    def groups(self) -> dict[str, dict[str, Any]]:
        """Return the security groups by name, but for that of the default network."""
        found = self.ec2.describe_security_groups()["SecurityGroups"]
        return {one["GroupName"]: one for one in found if one["GroupName"] != "default"}

    def rules(self) -> dict[str, dict[int, set[str]]]:
        """Return whom each security group lets in, by port: networks, and names of groups."""
        groups = self.groups()
        names = {group["GroupId"]: name for name, group in groups.items()}
        return {
            name: {
                rule["FromPort"]: {one["CidrIp"] for one in rule["IpRanges"]}
                | {one["CidrIpv6"] for one in rule["Ipv6Ranges"]}
                | {names[one["GroupId"]] for one in rule["UserIdGroupPairs"]}
                for rule in group["IpPermissions"]
                if rule["FromPort"] == rule["ToPort"]
            }
            for name, group in groups.items()
        }

    def passwords(self, name: str) -> dict[str, str]:
        """Return what a secret of Secrets Manager has."""
        secret = self.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        found: dict[str, str] = json.loads(secret)
        return found

    def names(self) -> set[str]:
        """Return the names of what there is besides instances and what an account begins with."""
        iam, rds, elb = self.client("iam"), self.client("rds"), self.client("elbv2")
        snapshots = rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        secrets = self.client("secretsmanager").list_secrets()["SecretList"]
        return {
            *self.groups(),
            *(one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]),
            *(one["DBSnapshotIdentifier"] for one in snapshots),
            *(
                one["DBParameterGroupName"]
                for one in rds.describe_db_parameter_groups()["DBParameterGroups"]
            ),
            *(
                one["DBSubnetGroupName"]
                for one in rds.describe_db_subnet_groups()["DBSubnetGroups"]
            ),
            *(one["Name"] for one in secrets),
            *(one["LoadBalancerName"] for one in elb.describe_load_balancers()["LoadBalancers"]),
            *(one["TargetGroupName"] for one in elb.describe_target_groups()["TargetGroups"]),
            *(key["KeyName"] for key in self.ec2.describe_key_pairs()["KeyPairs"]),
            *(address["PublicIp"] for address in self.ec2.describe_addresses()["Addresses"]),
            *(disk["VolumeId"] for disk in self.disks()),
            *(bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]),
            *(role["RoleName"] for role in iam.list_roles()["Roles"]),
            *(
                one["InstanceProfileName"]
                for one in iam.list_instance_profiles()["InstanceProfiles"]
            ),
        }

    def close(self) -> None:
        """End the server."""
        self._server.stop()
        self._patches.close()
