#!/usr/bin/python
"""Reads the SSH key of a new EC2 instance from its console; changes nothing."""

from __future__ import annotations

import re

from ansible.module_utils.basic import AnsibleModule

try:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    boto3 = None

DOCUMENTATION = """
module: ec2_ssh_key
short_description: Reads the SSH key of a new EC2 instance from its console
description:
  - cloud-init writes the keys that it has made to the console at the first start.
  - Needs boto3; credentials and region are found as boto3 finds them.
options:
  instance_id:
    type: str
    required: true
    description: The instance.
"""
EXAMPLES = "- ec2_ssh_key: {instance_id: i-0123456789abcdef0}"
RETURN = """
key: {description: The type and the key; empty while the console does not have it, type: str}
"""
KEYS = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL
)
KEY = re.compile(r"\bssh-ed25519 [A-Za-z0-9+/]+=*")


def key_in(console: str) -> str:
    """Return the ED25519 key that a console's text shows last, or nothing."""
    shown = [key for part in KEYS.findall(console) for key in KEY.findall(part)]
    return shown[-1] if shown else ""


def read_console(instance: str) -> str:
    """Return what the console of an instance shows, as new as its type can tell."""
    client = boto3.client("ec2")
    try:
        answer = client.get_console_output(InstanceId=instance, Latest=True)
    except ClientError:
        # Types that are not of the Nitro system have only what is some minutes old.
        answer = client.get_console_output(InstanceId=instance)
    return str(answer.get("Output", ""))


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        {"instance_id": {"type": "str", "required": True}}, supports_check_mode=True
    )
    if boto3 is None:
        module.fail_json(msg="boto3 is missing; install it from requirements-deploy.txt")
    wanted = module.params["instance_id"]
    try:
        console = read_console(wanted)
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=f"The console of {wanted} cannot be read: {error}")
    module.exit_json(changed=False, key=key_in(console))


if __name__ == "__main__":
    main()
