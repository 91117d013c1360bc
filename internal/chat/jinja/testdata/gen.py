"""Renders every template of this folder with Jinja2 set up as transformers does, and writes golden.json.

Run: python3 gen.py   (needs jinja2; goldens were made with 3.1.6)
"""
import glob, json, os
from datetime import datetime
import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)

def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)

def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

NOW = datetime(2026, 3, 4, 15, 6, 7)
env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: NOW.strftime(f)

u = lambda c: {"role": "user", "content": c}
a = lambda c: {"role": "assistant", "content": c}
s = lambda c: {"role": "system", "content": c}
chats = {
    "one": [u("Hi")],
    "system": [s("Be terse."), u("What is 2 + 2?")],
    "turns": [u("Hi"), a("Hello!"), u("Say <b>\"bye\"</b> & 'go'\n\n  please  ")],
    "long": [s("  You are ünïcödé. \n"), u("a\nb"), a("<think>\nhm\n</think>\n\nc"), u("{{ d }} {% e %}"), a(" f "), u("日本語 🎉")],
    "two users": [u("a"), u("b")],
    "ends with assistant": [u("Write"), a("Once upon")],
    "empty": [u("")],
}
tools = [{"type": "function", "function": {"name": "weather", "description": "Tells <the> weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]

out = []
for path in sorted(glob.glob("*.jinja")):
    template = env.from_string(open(path).read())
    for name, chat in chats.items():
        for add in (True, False):
            for with_tools in (False, True):
                if with_tools and (path not in ("qwen2.5.jinja", "qwen3.jinja") or not add):
                    continue
                case = {"template": path, "chat": name, "add_generation_prompt": add, "messages": chat}
                if with_tools:
                    case["tools"] = tools
                try:
                    case["want"] = template.render(messages=chat, add_generation_prompt=add, bos_token="<s>", eos_token="</s>", tools=tools if with_tools else None)
                except jinja2.exceptions.TemplateError as e:
                    case["raised"] = str(e)
                out.append(case)
json.dump(out, open("golden.json", "w"), ensure_ascii=False, indent=1)
print(len(out), "cases")
