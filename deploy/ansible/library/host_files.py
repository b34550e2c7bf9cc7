#!/usr/bin/python
"""Brings any number of files and folders to what they should be, in one execution."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.placing import put_file, put_folder, remove

DOCUMENTATION = """
module: host_files
short_description: Brings files and folders to what they should be
description:
  - As M(ansible.builtin.file), M(ansible.builtin.copy) and M(ansible.builtin.template) do, but for
    all of them in one execution instead of two or three for each.
  - Contents come from the control node, such as by C(lookup('ansible.builtin.template', ...)).
  - Where C(validate) refuses one of them, none is written.
options:
  files:
    type: list
    elements: dict
    required: true
    description: In this order, so that a folder comes before what is in it.
    suboptions:
      path: {type: path, required: true, description: Where}
      state:
        type: str
        choices: [file, directory, absent]
        default: file
        description: What; a folder that is to be absent goes with all that is in it.
      content: {type: str, description: All of the file}
      once:
        type: bool
        default: false
        description: Whether a file that is there is left as it is.
      validate: {type: str, description: 'A command that refuses wrong content; has C(%s)'}
      mode: {type: str, description: 'By default C(0644), and C(0755) for a folder'}
      owner: {type: str, description: 'By default root, where root runs this'}
      group: {type: str, description: 'By default root, where root runs this'}
"""
EXAMPLES = """
- host_files:
    files:
      - {path: /etc/shop, state: directory}
      - path: /etc/shop/settings.ini
        content: "{{ lookup('ansible.builtin.template', 'settings.ini.j2') }}"
"""
RETURN = """
changed_paths: {description: What was not as it should be, type: list}
modified: {description: 'The time of the last change by file, in seconds', type: dict}
"""
OPTIONS = {
    "path": {"type": "path", "required": True},
    "state": {"choices": ["file", "directory", "absent"], "default": "file"},
    "content": {"type": "str"},
    "once": {"type": "bool", "default": False},
    "validate": {"type": "str"},
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


def main() -> None:
    """Answer Ansible."""
    files = {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": OPTIONS,
        "required_if": [("state", "file", ["content"])],
    }
    # The host's journal would have all contents, at each run.
    module = AnsibleModule({"files": files}, supports_check_mode=True, no_log=True)
    wanted: list[dict[str, Any]] = module.params["files"]
    for one in wanted:
        if one["validate"] and not module.check_mode:
            validate(module, one)
    try:
        differences = [difference(one) for one in wanted]
        changed = [one["path"] for one in wanted if bring(module, one)]
    except OSError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(
        changed=bool(changed),
        changed_paths=changed,
        diff=[one for one in differences if one["before_header"] in changed],
        modified={
            one["path"]: int(Path(one["path"]).stat().st_mtime)
            for one in wanted
            if Path(one["path"]).is_file()
        },
    )


def validate(module: AnsibleModule, one: dict[str, Any]) -> None:
    """Stop where the command refuses the content."""
    with tempfile.NamedTemporaryFile(dir=module.tmpdir) as file:
        file.write(one["content"].encode())
        file.flush()
        status, output, error = module.run_command(one["validate"] % file.name)
    if status != 0:
        module.fail_json(msg=f"{one['path']} would not be valid: {(error or output).strip()}")


def bring(module: AnsibleModule, one: dict[str, Any]) -> bool:
    """Make one of them what it should be; return whether it was not."""
    path, attributes = Path(one["path"]), {"owner": one["owner"], "group": one["group"]}
    changed: bool
    if one["state"] == "absent":
        changed = remove(module, path)
    elif one["state"] == "directory":
        changed = put_folder(module, path, mode=one["mode"] or "0755", **attributes)
    else:
        keep = one["once"] and path.is_file()
        content = path.read_bytes() if keep else one["content"].encode()
        changed = put_file(module, path, content, mode=one["mode"] or "0644", **attributes)
    return changed


def difference(one: dict[str, Any]) -> dict[str, str]:
    """Return what --diff shows."""
    path = Path(one["path"])
    before = path.read_text(errors="replace") if path.is_file() else ""
    after = one["content"] or ""
    return {
        "before_header": one["path"],
        "before": before,
        "after_header": one["path"],
        "after": after,
    }


if __name__ == "__main__":
    main()
