"""Reads Terraform's language and works a module out, without Terraform: as much of both as infra/terraform uses.

`terraform plan` would do the same, but is not there everywhere, and needs the provider. What this does not know it
refuses: an unknown function or attribute is an error, never a guess. test_terraform.py compares it with Terraform.
"""

import ipaddress
import json
import re
from pathlib import Path


class HclError(Exception):
    """The text is not understood, or asks for something that is not there."""


class Block:
    """`type "label" "label" { attributes and blocks }`"""

    def __init__(self, kind, labels):
        self.kind, self.labels, self.attributes, self.blocks = kind, labels, {}, []

    def all(self, kind):
        return [block for block in self.blocks if block.kind == kind]


# --- text to blocks and expressions: an expression becomes a function from a scope to its value ------------------------

BINARY = [["||"], ["&&"], ["==", "!="], ["<=", ">=", "<", ">"], ["+", "-"], ["*", "/", "%"]]
OPERATIONS = {
    "||": lambda a, b: a or b,
    "&&": lambda a, b: a and b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
}
# In `type` of a variable, which is not worked out.
TYPES = ("list", "map", "object", "optional", "set")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


class Parser:
    def __init__(self, text, name):
        self.text, self.name, self.at = text, name, 0

    def fail(self, what):
        raise HclError(f"{self.name}:{self.text.count(chr(10), 0, self.at) + 1}: {what}")

    def space(self, newlines):
        blank = re.compile(r"(?:[ \t\r]|#[^\n]*|//[^\n]*%s)*" % (r"|\n" if newlines else ""))
        self.at = blank.match(self.text, self.at).end()

    def peek(self, *what):
        return next((it for it in what if self.text.startswith(it, self.at)), None)

    def take(self, what, newlines=True):
        self.space(newlines)
        if not self.peek(what):
            self.fail(f"expected {what!r}, found {self.text[self.at:self.at + 20]!r}")
        self.at += len(what)

    def taken(self, what, newlines):
        self.space(newlines)
        if self.peek(what):
            self.at += len(what)
            return True
        return False

    def identifier(self):
        found = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*").match(self.text, self.at)
        if not found:
            self.fail(f"expected a name, found {self.text[self.at:self.at + 20]!r}")
        self.at = found.end()
        return found[0]

    def body(self, block, end):
        while True:
            self.space(True)
            if self.at == len(self.text) if end is None else self.peek(end):
                self.at += len(end or "")
                return block
            name = self.identifier()
            self.space(False)
            if self.peek("=") and not self.peek("=="):
                self.at += 1
                if name in block.attributes:
                    self.fail(f"{name} is set twice")
                block.attributes[name] = self.expression(False)
                continue
            labels = []
            while self.peek('"'):
                labels.append(self.string()(None))
                self.space(False)
            self.take("{")
            block.blocks.append(self.body(Block(name, labels), "}"))

    def expression(self, newlines):
        condition = self.binary(0, newlines)
        if not self.taken("?", newlines):
            return condition
        yes = self.expression(newlines)
        self.take(":", newlines)
        no = self.expression(newlines)
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def binary(self, level, newlines):
        if level == len(BINARY):
            return self.unary(newlines)
        left = self.binary(level + 1, newlines)
        while True:
            self.space(newlines)
            sign = self.peek(*BINARY[level])
            if not sign or self.peek("=>"):
                return left
            self.at += len(sign)
            left = self.operation(sign, left, self.binary(level + 1, newlines))

    @staticmethod
    def operation(sign, left, right):
        if sign in ("||", "&&"):  # the right side may only hold if the left one does
            stop = sign == "||"
            return lambda scope: stop if left(scope) is stop else right(scope)
        return lambda scope: OPERATIONS[sign](left(scope), right(scope))

    def unary(self, newlines):
        self.space(newlines)
        if self.peek("!") and not self.peek("!="):
            self.at += 1
            inner = self.unary(newlines)
            return lambda scope: not inner(scope)
        if self.peek("-"):
            self.at += 1
            inner = self.unary(newlines)
            return lambda scope: -inner(scope)
        return self.traversal(self.primary(newlines))

    def traversal(self, value):
        while True:
            if self.peek("[*]"):
                self.at += 3
                rest = self.traversal(lambda scope: scope["each of a splat"])
                each = value
                return lambda scope: [rest({**scope, "each of a splat": it}) for it in each(scope)]
            if self.peek(".") and not self.peek("..."):
                self.at += 1
                value = self.step(value, (lambda name: lambda scope: name)(self.identifier()))
            elif self.peek("["):
                self.at += 1
                index = self.expression(True)
                self.take("]")
                value = self.step(value, index)
            else:
                return value

    def step(self, value, index):
        where = f"{self.name}:{self.text.count(chr(10), 0, self.at) + 1}"

        def get(scope):
            of, key = value(scope), index(scope)
            try:
                return of[key]
            except (KeyError, IndexError, TypeError) as error:
                raise HclError(f"{where}: no {key!r} there") from error

        return get

    def primary(self, newlines):
        if self.peek('"'):
            return self.string()
        if self.peek("("):
            self.at += 1
            inner = self.expression(True)
            self.take(")")
            return inner
        if self.peek("["):
            return self.tuple()
        if self.peek("{"):
            return self.object()
        number = re.compile(r"\d+(\.\d+)?").match(self.text, self.at)
        if number:
            self.at = number.end()
            value = float(number[0]) if number[1] else int(number[0])
            return lambda scope: value
        name = self.identifier()
        if name in ("true", "false", "null"):
            return lambda scope: {"true": True, "false": False, "null": None}[name]
        if self.peek("("):
            return self.call(name)
        where = f"{self.name}:{self.text.count(chr(10), 0, self.at) + 1}"

        def look_up(scope):
            if name not in scope:
                raise HclError(f"{where}: nothing is called {name}")
            return scope[name]

        return look_up

    def call(self, name):
        self.take("(")
        arguments, spread = [], False
        while not self.taken(")", True):
            arguments.append(self.expression(True))
            spread = self.taken("...", True)
            if not self.taken(",", True):
                self.take(")")
                break
        if name == "can":
            return lambda scope: succeeds(arguments[0], scope)
        if name not in FUNCTIONS and name not in TYPES:
            self.fail(f"the function {name} is not known here")

        def run(scope):
            values = [argument(scope) for argument in arguments]
            return FUNCTIONS[name](*(values[:-1] + list(values[-1]) if spread else values))

        return run

    def string(self):
        self.take('"')
        parts = []
        while not self.peek('"'):
            if self.at >= len(self.text):
                self.fail("the string has no end")
            if self.peek("${"):
                self.at += 2
                parts.append(self.expression(True))
                self.take("}")
                continue
            letter = self.text[self.at]
            if letter == "\\":
                self.at += 1
                letter = ESCAPES[self.text[self.at]]
            self.at += 1
            parts.append((lambda it: lambda scope: it)(letter))
        self.at += 1
        return lambda scope: "".join(as_text(part(scope)) for part in parts)

    def tuple(self):
        self.take("[")
        self.space(True)
        if re.compile(r"for\b").match(self.text, self.at):
            return self.comprehension("]")
        items = []
        while not self.taken("]", True):
            items.append(self.expression(True))
            if not self.taken(",", True):
                self.take("]")
                break
        return lambda scope: [item(scope) for item in items]

    def object(self):
        self.take("{")
        self.space(True)
        if re.compile(r"for\b").match(self.text, self.at):
            return self.comprehension("}")
        items = []
        while not self.taken("}", True):
            if self.peek('"'):
                key = self.string()
            elif self.peek("("):
                key = self.primary(False)
            else:
                key = (lambda name: lambda scope: name)(self.identifier())
            self.take("=", False)
            items.append((key, self.expression(False)))
            self.taken(",", False)
        return lambda scope: {key(scope): value(scope) for key, value in items}

    def comprehension(self, end):
        self.take("for")
        self.space(True)
        names = [self.identifier()]
        if self.taken(",", True):
            self.space(True)
            names.append(self.identifier())
        self.take("in")
        collection = self.expression(True)
        self.take(":")
        first = self.expression(True)
        second = None
        if end == "}":
            self.take("=>")
            second = self.expression(True)
        self.space(True)
        condition = None
        if re.compile(r"if\b").match(self.text, self.at):
            self.take("if")
            condition = self.expression(True)
        self.take(end)

        def scopes(scope):
            values = collection(scope)
            pairs = sorted(values.items()) if isinstance(values, dict) else enumerate(values)
            for key, value in pairs:
                inner = {**scope, **(dict(zip(names, (key, value))) if len(names) == 2 else {names[0]: value})}
                if condition is None or condition(inner):
                    yield inner

        if second is None:
            return lambda scope: [first(inner) for inner in scopes(scope)]
        return lambda scope: {first(inner): second(inner) for inner in scopes(scope)}


def as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise HclError(f"{value!r} does not go into a string")


def succeeds(expression, scope):
    try:
        expression(scope)
        return True
    except (HclError, ValueError):
        return False


def search(pattern, text):
    if not re.search(pattern.replace("$", r"\Z"), text):
        raise HclError(f"{text!r} does not match {pattern}")
    return text


def cidrhost(range, host):
    if "/" not in range:
        raise HclError(f"{range} has no length")
    return str(ipaddress.ip_network(range, strict=False)[host])


def merge(*maps):
    return {key: value for it in maps for key, value in it.items()}


FUNCTIONS = {
    "alltrue": all,
    "cidrhost": cidrhost,
    "concat": lambda *lists: [item for it in lists for item in it],
    "contains": lambda values, value: value in values,
    "filebase64sha256": lambda path: f"<hash of {path}>",
    "fileexists": lambda path: Path(path).exists(),
    "floor": lambda number: int(number // 1),
    "join": lambda between, parts: between.join(parts),
    "jsonencode": lambda value: json.dumps(value, default=dict),
    "keys": sorted,
    "length": len,
    "lookup": lambda of, key, default: of.get(key, default),
    "merge": merge,
    "regex": search,
    "title": lambda text: re.sub(r"\b[a-z]", lambda first: first[0].upper(), text),
    "toset": lambda values: sorted(set(values)),
    "tostring": as_text,
    "values": lambda of: [of[key] for key in sorted(of)],
}


# --- a module, worked out ----------------------------------------------------------------------------------------------


class Resource(dict):
    """One instance: what its block says, and what only the provider knows, by `computed`."""

    def __init__(self, address, kind, values, computed):
        super().__init__(values)
        self.address, self.kind, self.computed = address, kind, computed

    def __missing__(self, name):
        return self.computed(self, name)


class Lazy(dict):
    """A map whose values are worked out when they are asked for, once."""

    def __init__(self, makers):
        super().__init__()
        self.makers = makers

    def __missing__(self, name):
        if name not in self.makers:
            raise KeyError(name)
        maker, self.makers[name] = self.makers[name], self.recursion(name)
        self[name] = maker()
        return self[name]

    @staticmethod
    def recursion(name):
        def fail():
            raise HclError(f"{name} depends on itself")

        return fail


META = ("for_each", "count", "depends_on")


class Names(dict):
    """In `lifecycle`, names of arguments stand for themselves."""

    def __contains__(self, name):
        return True

    def __missing__(self, name):
        return name


class Module:
    """The blocks of some texts (`{file name: text}`), worked out for some variables."""

    def __init__(self, texts, variables, data, computed):
        top = Block("", [])
        for name, text in texts.items():
            Parser(text, name).body(top, None)
        self.top, self.computed = top, computed
        self.variables = {block.labels[0]: block for block in top.all("variable")}
        strangers = set(variables) - set(self.variables)
        if strangers:
            raise HclError(f"no such variables: {sorted(strangers)}")
        values = {
            name: variables[name] if name in variables else self.default(name) for name in self.variables
        }
        locals_ = {name: value for block in top.all("locals") for name, value in block.attributes.items()}
        self.scope = {"var": values, "data": data}
        self.scope["local"] = Lazy(
            {name: (lambda value=value: value(self.scope)) for name, value in locals_.items()}
        )
        self.blocks = {}
        for block in top.all("resource"):
            kind, name = block.labels
            if f"{kind}.{name}" in self.blocks:
                raise HclError(f"{kind}.{name} is there twice")
            self.blocks[f"{kind}.{name}"] = block
        for kind in {block.labels[0] for block in top.all("resource")}:
            names = [block.labels[1] for block in top.all("resource") if block.labels[0] == kind]
            self.scope[kind] = Lazy(
                {name: (lambda address=f"{kind}.{name}": self.instances(address)) for name in names}
            )
        ephemeral = {}
        for block in top.all("ephemeral"):
            kind, name = block.labels
            ephemeral.setdefault(kind, {})[name] = [{"random_password": self.values(block, self.scope)}]
        self.scope["ephemeral"] = ephemeral

    def default(self, name):
        default = self.variables[name].attributes.get("default")
        if default is None:
            raise HclError(f"the variable {name} has no default")
        return default({})

    def refused(self, name):
        """What a variable's validations say against its value."""
        rules = [block.attributes for block in self.variables[name].all("validation")]
        return [rule["error_message"](self.scope) for rule in rules if not rule["condition"](self.scope)]

    def instances(self, address):
        block = self.blocks[address]
        if "for_each" in block.attributes:
            each = block.attributes["for_each"](self.scope)
            each = each if isinstance(each, dict) else {key: key for key in each}
            return {
                key: self.instance(f'{address}["{key}"]', block, {**self.scope, "each": {"key": key, "value": value}})
                for key, value in sorted(each.items())
            }
        if "count" in block.attributes:
            count = block.attributes["count"](self.scope)
            return [self.instance(f"{address}[{index}]", block, self.scope) for index in range(count)]
        return self.instance(address, block, self.scope)

    def instance(self, address, block, scope):
        return Resource(address, block.labels[0], self.values(block, scope), self.computed)

    @classmethod
    def values(cls, block, scope):
        if block.kind == "lifecycle":
            scope = Names()
        values = {name: value(scope) for name, value in block.attributes.items() if name not in META}
        for inner in block.blocks:
            if inner.kind == "dynamic":
                values.setdefault(inner.labels[0], []).extend(cls.dynamic(inner, scope))
                continue
            values.setdefault(inner.kind, []).append(cls.values(inner, scope))
        return values

    @classmethod
    def dynamic(cls, block, scope):
        """As many blocks as `for_each` has items. A map has keys too, which nobody needs here."""
        (content,) = block.all("content")
        strangers = set(block.attributes) - {"for_each"}
        if strangers:
            raise HclError(f"{sorted(strangers)} of a dynamic block is not known here")
        items = block.attributes["for_each"](scope)
        return [cls.values(content, {**scope, block.labels[0]: {"value": item}}) for item in items]

    def resources(self):
        """Every instance, by address."""
        found = {}
        for address in self.blocks:
            kind, name = address.split(".")
            instances = self.scope[kind][name]
            if isinstance(instances, Resource):
                instances = [instances]
            for it in instances.values() if isinstance(instances, dict) else instances:
                found[it.address] = it
        return found

    def outputs(self):
        return {block.labels[0]: block.attributes["value"](self.scope) for block in self.top.all("output")}
