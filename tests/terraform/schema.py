"""The AWS provider's schema, of what the module uses, read from an npm package.

`@cdktf/provider-aws` was generated from the provider's own schema, and has it in the sources embedded in its source
maps: a line `// name - computed: …, optional: …, required: …` for each argument, and its type just below. There are no
more releases of it, so what came later, or what it leaves out, is added by hand: OVERLAY and EPHEMERAL.
"""

import base64
import hashlib
import json
import re
import subprocess
import tarfile
from pathlib import Path

PACKAGE, VERSION, PROVIDER = "@cdktf/provider-aws", "21.22.1", "6.25.0"
SHA256 = "d1446ab6ac6526c6fab4b28a5ebefdd90c0ce56203949925d35a4d286c05cbbf"

# What the package does not know, and where it is said.
OVERLAY = {
    # Added in 6.29.0 (hashicorp/terraform-provider-aws, pull request 44858).
    ("resource", "aws_lambda_permission", "invoked_via_function_url"): {"type": "bool", "optional": True},
    # The package does not say which arguments are write-only; the provider's documentation does.
    ("resource", "aws_secretsmanager_secret_version", "secret_string_wo"): {"write_only": True},
}
# The package has no ephemeral resources at all; the provider's documentation.
EPHEMERAL = {
    "aws_secretsmanager_random_password": {
        "attributes": {
            "exclude_characters": {"type": "string", "optional": True},
            "exclude_lowercase": {"type": "bool", "optional": True},
            "exclude_numbers": {"type": "bool", "optional": True},
            "exclude_punctuation": {"type": "bool", "optional": True},
            "exclude_uppercase": {"type": "bool", "optional": True},
            "include_space": {"type": "bool", "optional": True},
            "password_length": {"type": "number", "optional": True},
            "random_password": {"type": "string", "computed": True},
            "region": {"type": "string", "optional": True, "computed": True},
            "require_each_included_type": {"type": "bool", "optional": True},
        },
        "blocks": {},
    }
}

ATTRIBUTE = re.compile(
    r"^  // (?P<name>\w+) - computed: (?P<computed>\w+), optional: (?P<optional>\w+), required: (?P<required>\w+)$",
    re.M,
)
TYPES = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getNumberMapAttribute": ["map", "number"],
}


def package(directory):
    """The package's file, from npm if it is not there yet."""
    path = Path(directory) / f"cdktf-provider-aws-{VERSION}.tgz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        subprocess.run(command, cwd=path.parent, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{path} is not the package it should be: {found}")
    return path


def source(text):
    """What a file was compiled from."""
    encoded = re.search(r"sourceMappingURL=data:application/json;base64,([A-Za-z0-9+/=]+)", text)
    return json.loads(base64.b64decode(encoded[1]))["sourcesContent"][0]


def classes(text):
    """`{name: body}`"""
    parts = re.split(r"^export class (\w+) extends [^\n]*\{\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def block_of(found, name):
    """Of a class, and of the classes its arguments have."""
    body = found[name]
    marks = list(ATTRIBUTE.finditer(body))
    block = {"attributes": {}, "blocks": {}}
    for mark, after in zip(marks, [*marks[1:], None]):
        text = body[mark.end() : after.start() if after else None]
        flags = {key: mark[key] == "true" for key in ("computed", "optional", "required")}
        inner = re.search(rf'= new (\w+)\(this, "{mark["name"]}"(, true|, false)?\)', text)
        if not inner:
            getter = re.search(rf"this\.(get\w+)\([\"'`]{mark['name']}[\"'`]\)", text)
            kind = TYPES[getter[1]]
            if isinstance(kind, list) and kind[0] == "list" and "Fn.tolist(" in text[: getter.end()]:
                kind = ["set", kind[1]]
            block["attributes"][mark["name"]] = {"type": kind, **flags}
        elif inner[1].startswith("cdktf.") or (flags["computed"] and not flags["optional"]):
            # Only to be read, and nobody reads it here.
            block["attributes"][mark["name"]] = {"type": "dynamic", **flags}
        else:
            many = inner[1].endswith("List")
            single = "cdktf.IResolvable" in text and not many
            block["blocks"][mark["name"]] = {
                # `timeouts`; otherwise what may be there once is a list too.
                "nesting": "single" if single else "set" if inner[2] == ", true" else "list",
                "min": int(flags["required"]),
                "max": 0 if many or single else 1,
                "block": block_of(found, re.sub("List$", "OutputReference", inner[1])),
            }
    return block


def path_of(kind):
    """Of a file in the package: lambda-function, data-aws-region, provider."""
    words = kind.removeprefix("aws_").replace("_", "-")
    return f"package/lib/{words}/index.js"


def provider_of(text):
    """The provider's own arguments; of its blocks nothing is used."""
    plain = {"string": "string", "boolean": "bool", "number": "number", "string[]": ["set", "string"]}
    names = re.findall(
        r"^  // (\w+) - computed: false, optional: true, required: false\n"
        r"  private _\w+\?: (string|boolean|number|string\[\])(?: \| cdktf\.IResolvable)?(?: \| undefined)?;",
        text,
        re.M,
    )
    return {"attributes": {name: {"type": plain[kind], "optional": True} for name, kind in names}, "blocks": {}}


def schema(directory, resources, data_sources):
    """`{"resource": {type: block}, "data": …, "ephemeral": …, "provider": block}`"""
    wanted = {path_of(kind): ("resource", kind) for kind in resources}
    wanted |= {path_of(f"data_{kind}"): ("data", kind) for kind in data_sources}
    result = {"resource": {}, "data": {}, "ephemeral": EPHEMERAL}
    with tarfile.open(package(directory)) as archive:
        for member in archive:
            if member.name == path_of("provider"):
                result["provider"] = provider_of(source(archive.extractfile(member).read().decode()))
            if member.name in wanted:
                group, kind = wanted.pop(member.name)
                found = classes(source(archive.extractfile(member).read().decode()))
                (top,) = (name for name, body in found.items() if f'tfResourceType = "{kind}"' in body)
                result[group][kind] = block_of(found, top)
    if wanted:
        raise SystemExit(f"the package has no {sorted(wanted)}")
    for (group, kind, name), said in OVERLAY.items():
        attribute = result[group][kind]["attributes"].setdefault(name, {})
        attribute |= said
    return result
