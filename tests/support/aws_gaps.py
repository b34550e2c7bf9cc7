"""What moto does otherwise than AWS, put right as far as the playbooks look."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from moto.ec2 import utils as ec2_utils
from moto.ec2.models.elastic_block_store import Volume
from moto.rds.exceptions import DBParameterGroupNotFoundError
from moto.rds.models import DBInstance, DBParameterGroup, RDSBackend

SNAPSHOT = "snap-0123456789abcdef0"
# AWS calls an elastic address so, and moto calls it otherwise.
ADDRESS, ADDRESS_OF_MOTO = "elastic-ip", "vpc-elastic-ip"
# Of the hundreds of a series those that the playbook sets.
PARAMETERS = ("require_secure_transport", "transaction_isolation")


def gaps() -> list[AbstractContextManager[Any]]:
    """Return what closes the gaps while it is entered."""
    return [*_of_hosts(), *_of_databases()]


def _of_hosts() -> list[AbstractContextManager[Any]]:
    prefixes = dict(ec2_utils.EC2_RESOURCE_TO_PREFIX)
    prefixes = {ADDRESS: prefixes[ADDRESS_OF_MOTO]} | prefixes
    make_volume = Volume.__init__

    def make_from_snapshot(volume: Volume, *args: Any, **options: Any) -> None:
        """Say of what snapshot a disk was made, as AWS does of an image's."""
        make_volume(volume, *args, **options)
        volume.snapshot_id = volume.snapshot_id or SNAPSHOT

    return [
        patch.dict(ec2_utils.EC2_RESOURCE_TO_PREFIX, prefixes, clear=True),
        patch.dict(ec2_utils.EC2_PREFIX_TO_RESOURCE, {prefixes[ADDRESS]: ADDRESS}),
        patch.object(Volume, "__init__", make_from_snapshot),
    ]


def _of_databases() -> list[AbstractContextManager[Any]]:
    describe, make_group = RDSBackend.describe_db_parameter_groups, DBParameterGroup.__init__
    make_database = DBInstance.__init__

    def describe_or_refuse(backend: RDSBackend, options: dict[str, Any]) -> Any:
        """Refuse a group that there is not, which moto answers with none."""
        found = describe(backend, options)
        name = options.get("db_parameter_group_name")
        if name and not found:
            raise DBParameterGroupNotFoundError(name)
        return found

    def make_group_with_parameters(group: DBParameterGroup, *args: Any, **options: Any) -> None:
        """Have what a group of a series has at its beginning."""
        make_group(group, *args, **options)
        for name in PARAMETERS:
            group.parameters[name] = {
                "ParameterName": name, "IsModifiable": True, "DataType": "string",
                "ApplyType": "dynamic",
            }  # fmt: skip

    def make_gp3_database(database: DBInstance, *args: Any, **options: Any) -> None:
        """Tell what a gp3 disk does without being asked to."""
        if options.get("storage_type") == "gp3":
            options |= {"iops": 3000, "storage_throughput": 125}
        make_database(database, *args, **options)

    return [
        patch.object(RDSBackend, "describe_db_parameter_groups", describe_or_refuse),
        patch.object(DBParameterGroup, "__init__", make_group_with_parameters),
        patch.object(DBInstance, "__init__", make_gp3_database),
    ]
