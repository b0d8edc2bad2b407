"""A stand-in for the AWS provider: it has its schema, and makes values up. It reaches no network.

Terraform's plugins are gRPC servers, and Terraform talks to one that runs already when TF_REATTACH_PROVIDERS names it.
Of the protocol (tfplugin5) there is what `validate`, `plan`, `apply` and `test` ask. Messages are few and flat, so they
are written by their field numbers; the comments name them.
"""

import json
import os
import sys
from concurrent import futures

import grpc
import msgpack

NAME = "registry.terraform.io/hashicorp/aws"
NESTING = {"single": 1, "list": 2, "set": 3}
UNKNOWN = msgpack.ExtType(0, b"\0")
# What data sources answer.
DATA = {
    "aws_caller_identity": {"account_id": "111122223333"},
    "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com"},
    "aws_region": {"region": "eu-west-1", "name": "eu-west-1"},
}


# --- messages --------------------------------------------------------------------------------------------------------


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def message(*fields):
    """Of (number, value); what is empty is left out, as protobuf does."""
    out = b""
    for number, value in fields:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif value:
            out += varint(number << 3) + varint(int(value))
    return out


def fields(data):
    """`{number: value}`, the last one of each."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            at += value
            value = data[at - value : at]
        found[key >> 3] = value
    return found


def block_message(block):
    attributes = [
        message(
            (1, name),
            (2, json.dumps(it["type"])),
            (4, it.get("required")),
            (5, it.get("optional")),
            (6, it.get("computed")),
            (7, it.get("sensitive")),
            (10, it.get("write_only")),
        )
        for name, it in sorted(block["attributes"].items())
    ]
    blocks = [
        message(
            (1, name),
            (2, block_message(it["block"])),
            (3, NESTING[it["nesting"]]),
            (4, it["min"] if it["nesting"] != "single" else 0),
            (5, it["max"]),
        )
        for name, it in sorted(block["blocks"].items())
    ]
    return message(*((2, it) for it in attributes), *((3, it) for it in blocks))


def value_of(data):
    """Of a DynamicValue."""
    return msgpack.unpackb(fields(data)[1], ext_hook=msgpack.ExtType)


def dynamic(value):
    return message((1, msgpack.packb(value)))


# --- what it answers -------------------------------------------------------------------------------------------------


class Provider:
    def __init__(self, schema):
        self.schema, self.count = schema, 0
        # Write-only arguments of what was applied: they come this far and are in no answer.
        self.written = []

    def made_up(self, block, value, make):
        """The value with `make(name, type)` where the provider would have to say something."""
        if value is None:
            return None
        value = dict(value)
        for name, it in block["attributes"].items():
            if it.get("write_only"):
                value[name] = None
            elif it.get("computed") and value[name] in (None, UNKNOWN):
                value[name] = make(name, it["type"])
        for name, it in block["blocks"].items():
            inner = value[name]
            if isinstance(inner, list):
                value[name] = [self.made_up(it["block"], each, make) for each in inner]
            elif isinstance(inner, dict):
                value[name] = self.made_up(it["block"], inner, make)
        return value

    def known(self, name, kind):
        self.count += 1
        if kind == "string":
            return f"made-up-{name}-{self.count}"
        if isinstance(kind, str):
            return {"number": 0, "bool": False, "dynamic": None}[kind]
        return {} if kind[0] == "map" else []

    def get_schema(self, _):
        def schemas(number, blocks):
            return [
                (number, message((1, kind), (2, message((2, block_message(block))))))
                for kind, block in blocks.items()
            ]

        return message(
            (1, message((2, block_message(self.schema["provider"])))),
            *schemas(2, self.schema["resource"]),
            *schemas(3, self.schema["data"]),
            *schemas(8, self.schema["ephemeral"]),
        )

    def prepare_provider_config(self, request):
        return message((1, fields(request)[1]))  # prepared_config = config

    def nothing(self, _):
        return b""

    def read_resource(self, request):
        return message((1, fields(request)[2]))  # new_state = current_state

    def upgrade_resource_state(self, request):
        state = json.loads(fields(fields(request)[3])[1])  # raw_state.json
        return message((1, dynamic(state)))  # upgraded_state

    def plan_resource_change(self, request):
        it = fields(request)
        block = self.schema["resource"][it[1].decode()]
        prior, proposed = value_of(it[2]), value_of(it[3])
        # Not there before: the resource, or a block of it.
        planned = self.made_up(block, proposed, lambda name, kind: (prior or {}).get(name, UNKNOWN))
        return message((1, dynamic(planned)), (5, True))  # planned_state, legacy_type_system

    def apply_resource_change(self, request):
        it = fields(request)
        block, config = self.schema["resource"][it[1].decode()], value_of(it[4]) or {}
        write_only = [name for name, about in block["attributes"].items() if about.get("write_only")]
        self.written += [config[name] for name in write_only if config.get(name) is not None]
        state = self.made_up(block, value_of(it[3]), self.known)
        return message((1, dynamic(state)), (4, True))  # new_state, legacy_type_system

    def read_data_source(self, request):
        it = fields(request)
        kind = it[1].decode()
        block = self.schema["data"][kind]
        answer = DATA[kind]
        state = self.made_up(block, value_of(it[2]), lambda name, type_: answer.get(name) or self.known(name, type_))
        return message((1, dynamic(state)))

    def open_ephemeral_resource(self, request):
        it = fields(request)
        block = self.schema["ephemeral"][it[1].decode()]
        result = self.made_up(block, value_of(it[2]), self.known)
        return message((3, dynamic(result)))

    METHODS = {
        "GetSchema": get_schema,
        "PrepareProviderConfig": prepare_provider_config,
        "ValidateResourceTypeConfig": nothing,
        "ValidateDataSourceConfig": nothing,
        "ValidateEphemeralResourceConfig": nothing,
        "Configure": nothing,
        "ReadResource": read_resource,
        "UpgradeResourceState": upgrade_resource_state,
        "PlanResourceChange": plan_resource_change,
        "ApplyResourceChange": apply_resource_change,
        "ReadDataSource": read_data_source,
        "OpenEphemeralResource": open_ephemeral_resource,
        "CloseEphemeralResource": nothing,
        "Stop": nothing,
    }


def serve(schema):
    """The provider, its server, which runs, and what TF_REATTACH_PROVIDERS has to be."""
    provider = Provider(schema)

    def handler(method):
        def answer(request, context):
            try:
                return method(provider, request)
            except Exception as error:  # Terraform prints it
                print(f"{method.__name__}: {error!r}", file=sys.stderr)
                context.abort(grpc.StatusCode.INTERNAL, f"{method.__name__}: {error!r}")

        return grpc.unary_unary_rpc_method_handler(answer)

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    methods = {name: handler(method) for name, method in Provider.METHODS.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tfplugin5.Provider", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    reattach = {
        NAME: {
            "Protocol": "grpc",
            "ProtocolVersion": 5,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    }
    return provider, server, json.dumps(reattach)
