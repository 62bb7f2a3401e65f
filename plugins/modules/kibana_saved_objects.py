#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kibana_saved_objects
short_description: Keep data views, searches and dashboards of Kibana as they are given
version_added: 0.2.0
description:
  - Imports saved objects from NDJSON files, as Kibana exports them, and data views that are given as options, in one call.
  - They are compared with an export of the same objects. Only what is missing or differs is imported; if nothing is, nothing is written.
  - Two objects are the same if their attributes and references are, whatever times, versions and empty defaults Kibana adds, and however
    often a field was looked at.
  - Objects that are not given are never touched, so that what people save beside them stays.
  - The answer of an import is read. Kibana says HTTP 200 even if it refused some of the objects; then the module fails and names them.
notes:
  - An object that a person changed in Kibana is put back to what the file says.
  - Kibana takes objects from the same or an older minor version. It may rewrite an older object; RV(rewritten) names those that it still
    holds otherwise than given after the import. Each run would import them anew, so export them from this Kibana into your file.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Kibana, with its base path if it has one.
    type: str
    default: https://localhost:5601
  username:
    description:
      - Login. It needs the right to manage saved objects in the space, and to manage spaces where O(space) is missing.
    type: str
  api_key:
    description:
      - API key in its encoded form, instead of O(username) and O(password).
    type: str
  space:
    description:
      - Identifier of the space. One that is missing is made.
    type: str
    default: default
  space_name:
    description:
      - Name of the space if it has to be made. Default is its identifier.
    type: str
  path:
    description:
      - Directory on the managed host. All files C(*.ndjson) in it are imported, those in directories below as well.
    type: path
  files:
    description:
      - Files that are not on the managed host, name to content.
    type: dict
    default: {}
  data_views:
    description:
      - Data views.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description:
          - Identifier, by which searches and dashboards refer to it.
        type: str
        required: true
      title:
        description:
          - Indices that it shows, with C(*) for any characters.
        type: str
        required: true
      name:
        description:
          - Name that people see. Default is O(data_views[].title).
        type: str
      time_field:
        description:
          - Field by whose time it is searched.
        type: str
  timeout:
    description:
      - Seconds to wait for a Kibana that is not ready. A login that is refused is waited for at most 20 seconds.
    type: float
    default: 120
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: >-
      Reads the files, asks once, and changes nothing. While Kibana does not answer, it says so in RV(pending) and reports no change.
  diff_mode:
    support: full
    description: Shows what is made or changed, with the texts of JSON inside of it read.
seealso:
  - module: pachedu.observability.elasticsearch_index_template
"""

EXAMPLES = r"""
- name: Keep a data view, and the searches and dashboards of a directory
  pachedu.observability.kibana_saved_objects:
    url: https://localhost:5601
    ca_path: /etc/kibana/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    path: /srv/kibana
    data_views:
      - {id: shop-logs, title: shop-logs-*, name: Logs of the shop, time_field: "@timestamp"}

- name: Keep a dashboard of the controller in the space of the auditors
  pachedu.observability.kibana_saved_objects:
    url: https://localhost:5601
    ca_path: /etc/kibana/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    space: audit
    space_name: Auditors
    files:
      audit.ndjson: "{{ lookup('ansible.builtin.file', 'audit.ndjson') }}"
"""

RETURN = r"""
created:
  description: Objects that were missing. In check mode, those that would be made.
  returned: success
  type: list
  elements: str
  sample: [index-pattern/shop-logs]
updated:
  description: Objects that differed.
  returned: success
  type: list
  elements: str
  sample: [dashboard/shop]
unchanged:
  description: How many objects were as given.
  returned: success
  type: int
  sample: 12
rewritten:
  description: Objects that Kibana holds otherwise than given, though it has just taken them.
  returned: success
  type: list
  elements: str
  sample: []
space_created:
  description: Whether the space was missing.
  returned: success
  type: bool
  sample: false
pending:
  description: What check mode could not look at because earlier tasks have not been done yet.
  returned: in check mode
  type: list
  elements: str
  sample: ["Kibana does not answer yet, so its saved objects were not compared"]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import saved_objects
from ansible_collections.pachedu.observability.plugins.module_utils.http import LOGIN, HttpError
from ansible_collections.pachedu.observability.plugins.module_utils.kibana_api import Kibana
from ansible_collections.pachedu.observability.plugins.module_utils.saved_objects import SavedObjectsError

DATA_VIEW = {
    "id": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "name": {"type": "str"},
    "time_field": {"type": "str"},
}
NOTHING = {"changed": False, "created": [], "updated": [], "unchanged": 0, "rewritten": [], "space_created": False}


def read_files(path, files):
    """Name to text of the directory's files and of those that are given; raises SavedObjectsError."""
    texts = dict(files)
    if path is None:
        return texts
    folder = Path(path)
    found = sorted(folder.rglob("*.ndjson"))
    if not found:
        raise SavedObjectsError(f"path: there is no file *.ndjson in {path}" if folder.is_dir() else f"path: there is no directory {path}")
    try:
        texts.update({str(one): one.read_text(encoding="utf-8") for one in found})
    except (OSError, UnicodeDecodeError) as error:
        raise SavedObjectsError(f"path: a file in {path} cannot be read as text: {error}") from error
    return texts


def wanted_objects(params):
    """All that is to be in Kibana; raises SavedObjectsError."""
    if not saved_objects.SPACE.fullmatch(params["space"]):
        raise SavedObjectsError(f"space: {params['space']!r} is no identifier of a space: use lower-case letters, digits, _ and -")
    return saved_objects.gather(read_files(params["path"], params["files"]), params["data_views"])


def keep(kibana, wanted, space_name, check_mode):
    """What was done, and the diff; raises HttpError or SavedObjectsError."""
    there = kibana.has_space()
    found = kibana.export(wanted) if there else {}
    missing, differing, unchanged = saved_objects.plan(found, wanted)
    changed, rewritten = missing + differing, []
    if not check_mode and not there:
        kibana.make_space(space_name)
    if not check_mode and changed:
        kibana.put(changed)
        after = kibana.export(changed)
        rewritten = [
            item for item in changed if saved_objects.key(item) not in after or not saved_objects.same(after[saved_objects.key(item)], item)
        ]
    names = {"created": missing, "updated": differing, "rewritten": rewritten}
    result = {name: [saved_objects.label(item) for item in items] for name, items in names.items()}
    result.update(changed=bool(changed) or not there, unchanged=len(unchanged), space_created=not there)
    return result, saved_objects.difference(found, changed)


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "https://localhost:5601"},
            **LOGIN,
            "api_key": {"type": "str", "no_log": True},
            "space": {"type": "str", "default": "default"},
            "space_name": {"type": "str"},
            "path": {"type": "path"},
            "files": {"type": "dict", "default": {}},
            "data_views": {"type": "list", "elements": "dict", "default": [], "options": DATA_VIEW},
            "timeout": {"type": "float", "default": 120},
        },
        mutually_exclusive=[("username", "api_key")],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params, result, diff = module.params, NOTHING, {}
    login = {name: params[name] for name in ("ca_path", "username", "password", "api_key")}
    kibana = Kibana(params["url"], params["space"], timeout=0 if module.check_mode else params["timeout"], **login)
    pending = []
    try:
        result, diff = keep(kibana, wanted_objects(params), params["space_name"], module.check_mode)
    except (HttpError, SavedObjectsError) as error:
        if not (module.check_mode and isinstance(error, HttpError)):
            module.fail_json(msg=str(error))
        pending = [f"Kibana does not answer yet, so its saved objects were not compared: {error}"]
    if result["rewritten"]:
        module.warn(f"Kibana rewrote {', '.join(result['rewritten'])}: export them from this Kibana into your files")
    more = {"pending": pending} if module.check_mode else {}
    module.exit_json(**result, **more, **({"diff": diff} if module._diff and result["changed"] else {}))


if __name__ == "__main__":
    main()
