#!/usr/bin/env python3
"""Writes what the reference renders into cases.json and families.json: python3 reference.py (needs jinja2 3.1).

The environment is the one that transformers compiles chat templates in: trim_blocks, lstrip_blocks, an immutable sandbox,
loop controls, a `generation` block, and its own tojson, raise_exception and strftime_now (with a fixed clock here).
In cases.json all cases see the same variables; a case has a name and a template. In families.json a case names a template of Families (each written for this
test, with the marks and the constructs of a model family), a chat and its own variables. This adds `expected`, or `error` where the reference refuses.
"""
import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.datetime(2024, 7, 6, 5, 4, 3).strftime(form)


def render(template, variables):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    defaults = {"messages": [], "tools": None, "documents": None, "add_generation_prompt": False}
    return environment.from_string(template).render(**(defaults | variables))


def fill(case, template, variables):
    for key in ("expected", "error"):
        case.pop(key, None)
    try:
        case["expected"] = render(template, variables)
    except Exception as error:  # every refusal of the reference is a case
        case["error"] = f"{type(error).__name__}: {error}"


def rewrite(name, change):
    path = pathlib.Path(__file__).with_name(name)
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def constructs(document):
    for case in document["cases"]:
        fill(case, case["template"], document["variables"])


def families(document):
    for case in document["cases"]:
        chat = document["chats"][case["chat"]]
        template = pathlib.Path(__file__).with_name("Families").joinpath(case["template"] + ".jinja").read_text(encoding="utf-8")
        fill(case, template, document["tokens"] | {"messages": chat["messages"], "tools": chat["tools"], "add_generation_prompt": case["add_generation_prompt"]} | case["variables"])


def main():
    rewrite("cases.json", constructs)
    rewrite("families.json", families)


if __name__ == "__main__":
    main()
