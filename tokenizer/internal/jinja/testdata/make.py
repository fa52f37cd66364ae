"""Renders small templates with Jinja as transformers sets it up, for cases.json.

    pip install transformers==5.23.0 jinja2==3.1.6
    python make.py
"""
import json
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template as compiled
V=dict(messages=[{"role":"user","content":"Hé llo"},{"role":"assistant","content":None,"tool_calls":[{"function":{"name":"f","arguments":{"b":1.5,"a":[True,None,"x<y>"]}}}]}],
  s="  a-b c\n", n=7, f=2.0, empty=[], one=["x"], d={"k":1,"a":"z","n":None}, t=True, none_=None, tools=None, add_generation_prompt=False, bos_token="<s>")
S=r'''{{ none }}|{{ none_ }}|{{ undefined_ }}
{{ s.strip() }}|{{ s.rstrip() }}|{{ s.lstrip() }}|{{ s.split() }}|{{ s.split('-') }}|{{ "a,b,c".split(',', 1) }}|{{ "a,b,c".rsplit(',', 1) }}
{{ one[-1] }}{{ one[0] }}{{ one[5] }}
{{ messages[-1].role }}|{{ messages[0]['content'][1] }}|{{ messages[0].content[::-1] }}
{{ d.items() | map('first') | list }}|{{ d.keys() | list }}|{{ d | items | list | length }}|{{ d.get('k') }}|{{ d.get('q', 3) }}|{{ d.get('q') }}
{{ d | tojson }}|{{ messages | tojson }}|{{ d|tojson(indent=2) }}|{{ [] | tojson }}|{{ {} | tojson(indent=4) }}|{{ "é\u2028<>&'\"\\" | tojson }}
{{ 7 // 2 }}|{{ -7 // 2 }}|{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 7 / 2 }}|{{ 2 ** 3 }}|{{ 1.0 }}|{{ f * 3 }}|{{ "ab" * 2 }}|{{ 1e20 }}|{{ 0.00001 }}
{{ "x" ~ 1 ~ none ~ true }}
{{ (1 if t else 2) }}|{{ "a" ~ ("b" if not t else "c") }}|{{ [1 if n > 5 else 2, 3] }}|{{ ("q" if none_) }}|{{ 1 if n > 9 else 2 if n > 8 else 3 }}
{% set x = "p" if n == 7 else "q" if n == 8 else "r" %}{{ x }}
{% set ns = namespace(a=1, b=none) %}{% for m in messages %}{% set ns.a = ns.a + 1 %}{% endfor %}{{ ns.a }}{{ ns.b }}
{% for k, v in d.items() %}{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for k in d %}{{ k }}{{ loop.index }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index0 }}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages[1:] %}{{ m.role }}{% endfor %}|{% for m in messages[:-1] %}{{ m.role }}{% endfor %}|{% for m in messages[::-1] %}{{ m.role }}{% endfor %}
{% macro f(a, b=2, c="x") %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}
{% for i in range(5) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{{ "abc" is string }}{{ 1 is number }}{{ d is mapping }}{{ one is iterable }}{{ "a" is iterable }}{{ none_ is none }}{{ undefined_ is none }}{{ undefined_ is defined }}{{ none_ is defined }}{{ t is true }}{{ n is true }}{{ one is sequence }}{{ t is boolean }}
{{ 'role' in messages[0] }}{{ 'x' in one }}{{ 'a' in s }}{{ 'z' not in one }}{{ none in [none] }}
{{ messages[1].content is not none }}|{{ messages[1].tool_calls is defined and messages[1].tool_calls is not none }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}|{{ messages | map(attribute='role') | join(',') }}|{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | list }}
{{ one | first }}{{ one | last }}{{ "abc" | first }}{{ "abc" | last }}{{ [3,1,2] | sort }}{{ [3,1,2] | max }}{{ "abc" | reverse }}{{ [1,2]|sum }}
{{ undefined_ | default('y') }}{{ none_ | default('y') }}{{ '' | default('y', true) }}{{ none_ | default('y', boolean=True) }}
{{ "a\nb" | indent(2) }}|{{ "a\nb" | indent(width=2, first=true) }}|{{ "  x " | trim }}|{{ "x" | upper }}|{{ "hello world" | title }}|{{ "hello World" | capitalize }}
{{ "a-b" | replace("-", "+") }}|{{ "a-b".replace("-", "") }}|{{ 'it''s' }}|{{ "it's \"q\" \\ \n \x41 \u00e9" }}
{{ "{} {}".format(1, "b") }}|{{ "%s-%d" % ("a", 3) }}|{{ "a".upper() }}|{{ "ABC".lower() }}|{{ "a b".title() }}|{{ "abc".startswith(("a","b")) }}|{{ "abc".endswith("c") }}|{{ "xabc".removeprefix("x") }}
{{ "abc"[1:] }}|{{ "abc"[-1] }}|{{ "abc"[:-1] }}|{{ "abc".find("c") }}|{{ "a b  c".split(' ') }}|{{ "a.b".partition(".") | join("|") }}{{ "ab".rpartition(".") | list }}{{ "a.b.c".rpartition(".")[0] }}|{{ "1" | int + 1 }}|{{ "1.5" | float }}
{{ [1,2] + [3] }}|{{ (1,2)[0] }}|{{ {'a': 1}['a'] }}|{{ {'a': 1}.a }}|{{ [[1,2],[3]] | length }}|{{ "é" | length }}
{{ n > 5 and n < 9 }}|{{ not t }}|{{ t and 'x' or 'y' }}|{{ '' or 'z' }}|{{ 1 < 2 < 3 }}|{{ n != 7 }}|{{ 'a' == 'a' }}|{{ none == none_ }}|{{ [] == none }}
{% if tools is defined and tools %}T{% elif messages | length > 1 %}L{% else %}E{% endif %}
{% if not add_generation_prompt is defined %}U{% endif %}{% if not undefined_ %}N{% endif %}
  {% if t %}
  yes
  {% endif %}
{%- set content = s | trim -%} [{{ content }}] {%- raw %} {{ raw }} {% endraw -%}  end
{# comment #}a{#- c -#} b {{- " x " -}} c
{{ raise_exception('bad ' ~ n) }}
{{ undefined_.x }}
{{ "a" + 1 }}
{{ 1 / 0 }}
{{ messages[9].role }}
{{ "a" + undefined_ }}
{{ d.k.q is defined }}|{{ d.zz is defined }}
{{ messages[0].content.split('l')[0] + "!" }}{{ messages[0]['content'].split('zz')[-1] }}
{% generation %}gen {{ n }}{% endgeneration %}
{% set a %}block {{ n }}{% endset %}{{ a }}{{ a | upper }}
{{ strftime_now is defined }}{{ strftime_now('%Y') | length }}
{{ "x" if messages[0].role == "user" and
   n == 7 else
   "y" }}
{%- for tc in messages[1].tool_calls %}{%- set tc = tc.function %}{{ tc.name }}({{ tc.arguments | tojson }}){% endfor %}
{{ d | dictsort | map('last') | list }}|{{ d.values() | list }}|{{ one * 2 if false else 'k' }}|{{ [1,2,3][1:] }}|{{ 'a' in ['a','b'] and true }}
{{ "%.2f" | format(3.14159) }}
{{ loop is defined }}{{ n is divisibleby 7 }}{{ n is odd }}{{ "a" is in ["a"] }}{{ 3 is eq 3 }}
{{ "a" "b" }}
{{ messages | length }}{{ messages | last | string | length > 3 }}{{ [1, [2, 'x']] }}{{ d }}
{{ n | string ~ "x" }}{{ n | abs }}{{ 3.7 | round }}{{ 3.14159 | round(2) }}{{ "a b c" | wordcount }}{{ [1,1,2] | unique | list }}
{% if 'x' in messages[0].content or ('H' in messages[0].content and n == 7) %}in{% endif %}
{{ messages[0].get('name', 'anon') }}|{{ messages[0].name | default('anon') }}|{{ messages[0]['name'] is defined }}
{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [m.role] %}{% endfor %}{{ ns.l | join('/') }}
{{ true }}{{ True }}{{ false }}{{ None }}{{ 1_000 }}{{ 'a' 'b' }}
{{ bos_token + "x" }}{{ (bos_token if true else '') + 'y' }}
{%- macro g(x) -%}{%- if x > 0 -%}{{ x }}{{ g(x - 1) }}{%- endif -%}{%- endmacro -%}{{ g(3) }}
{% for x in [1,2,3] %}{{ loop.cycle('a','b') }}{{ loop.previtem | default('-') }}{{ loop.nextitem is defined }}{% endfor %}
{% for a in [1,2] %}{% for b in [3,4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }}{% endfor %}
{{ not (t and false) }}{{ -n }}{{ (n - 1) * 2 }}{{ n - 1 }}{{ n-1 }}{{ 2 + 3 * 4 }}{{ "a" ~ 1 + 2 }}
{{ messages|selectattr("tool_calls", "defined")|list|length }}{{ messages|selectattr("content", "none")|list|length }}{{ messages|map(attribute="name", default="q")|list }}{{ ['a','b']|map('upper')|list }}{{ messages|selectattr("tool_calls")|list|length }}
{{ [{'a':2},{'a':1}]|sort(attribute='a')|map(attribute='a')|list }}{{ ['b','A']|sort }}{{ [1,2,3]|select('odd')|list }}{{ [1,2,3]|reject('gt', 2)|list }}{{ 'x'|tojson }}{{ 'abc'|list }}{{ {'b':1,'a':2}|tojson(sort_keys=true) }}{{ [1,2]|tojson(separators=(',',':')) }}
{% if messages[0].content is string and messages[0].content is not mapping %}ok{% endif %}{% if messages[0] is mapping %}map{% endif %}
{%- if n is not defined or n is none %}a{% elif n is number and n >= 7 %}b{%- endif +%}
 z'''
snips = S.split('\n')
snips += ["  {% if t %}\n  yes\n  {% endif %}\nx\n", "{{ \"x\" if messages[0].role == \"user\" and\n   n == 7 else\n   \"y\" }}\n\n", "a\n{%- if n is number and n >= 7 %}b{%- endif +%}\n z", "{% for m in messages %}\n{{ m.role }}\n{% endfor %}\n", "{%- for m in messages -%}\n  {{ m.role }}\n{%- endfor -%}\n", "x {%+ if t %} y{% endif %}\n","{{ [\n 'a',\n 'b'\n] | join(\n',') }}", "{% set m = {\n'a': 1,\n 'b': [1,\n2]} %}{{ m.b[1] }}", "{{ 'line\nbreak' }}"]
snips += ["{{ 'a  b c'.split(none, 1) }}{{ ' a b  c '.rsplit(maxsplit=1) }}{{ 'a\n\nb\n'.splitlines() }}{{ 'aXbX'.count('X') }}{{ 'x'.join(['1', '2']) }}{{ 'ab'.isalpha() }}{{ '12'.isdigit() }}{{ 'Ab'.isupper() }}{{ 'é'.upper() }}",
          "{{ 'a{}b{{}}'.format(1) }}{{ '{0}{1}{0}'.format('x', 'y') }}{{ '{k}'.format(k=2) }}", "{{ [1.5, 1e16, 1e-5, 123456789.125, -0.0, 2e300] }}{{ [1.5, 1e16, 2e300] | tojson }}",
          "{{ ['it\\'s', 'q\"', 'n\\n'] }}", "{{ 'abc'.foo() }}", "{{ none.x is defined }}", "{{ none + 'a' }}", "{% for x in none %}{% endfor %}", "{% for x in undefined_ %}{% else %}e{% endfor %}", "{{ undefined_ | length }}{{ undefined_ | list }}{{ undefined_ | join }}",
          "{{ 'x' * 3 ~ 'y' }}{{ 3 * 'x' }}{{ true + 1 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}", "{{ x }}{% set x = 5 %}{{ x }}{% if true %}{% set x = 6 %}{% endif %}{{ x }}{% for i in [1] %}{% set x = 7 %}{% endfor %}{{ x }}",
          "  {# c #}\n  x {#- d -#}  y {# e +#}\nz", "{% raw %}\n  {{ x }} {% if %}\n  {% endraw %}\nz", "a\n    {{ n }}\n  {%- if t %} b {% endif -%}   c", "\n\n{% if t %}\n\n x\n\n{% endif %}\n\n", "{{ '{% x %}' }}{{ '}}' }}{{ \"{{\" }}", "{{ {'a': {'b': 1}}.a.b }}{{ {'x': '}}'}.x }}",
          "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'assistant' and not ns.found %}{% set ns.found = true %}{{ loop.index0 }}{% endif %}{% endfor %}{{ ns.found }}", "{% set d.k = 2 %}{{ d.k }}",
          "{{ messages[0].content if messages[0].content is string else messages[0].content | map(attribute='text') | join }}", "{{ (messages | first).role }}{{ (messages | last)['role'] }}{{ ('a' ~ 'b') | upper }}{{ ('a,b').split(',')[1] }}",
          "{{ [n if n > 1 else 0 for_ in [1]] }}", "{% if %}{% endif %}", "{% endfor %}", "{{ }}", "{% for %}", "{{ 'a }}", "{% if t %}", "{{ (1 }}", "{{ n. }}", "{% unknown %}", "{{ 1 | nofilter }}", "{{ n is notest }}"]
snips += [  # idioms of longer templates: schemas, tool calls, dates, nested macros
    "{% macro keys(o, known) %}{% for k in o if k not in known %}{% set n = k | replace('-', '_') %}{% if o[k] is mapping %}<{{ n }}>{{ o[k] | tojson | safe }}</{{ n }}>{% else %}<{{ n }}>{{ o[k] | string }}</{{ n }}>{% endif %}{% endfor %}{% endmacro %}{{ keys({'a-b': {'c': 1}, 'd': none, 'e': 2}, ['e']) }}",
    "{% if messages[1].tool_calls is iterable and messages[1].tool_calls is not string and messages[1].tool_calls | length > 0 %}{{ messages[1].tool_calls[0].function.arguments.a[0] }}{% endif %}",
    "{% for a, v in messages[1].tool_calls[0].function.arguments | items %}{{ a }}={{ v if v is string else v | tojson | safe }};{% endfor %}",
    "{% macro kind(t) %}{% if t is string %}{{ t }}{% elif t is iterable %}{% for x in t %}{{ kind(x) }}{{ ' | ' if not loop.last else '' }}{% endfor %}{% endif %}{% endmacro %}{{ kind(['a', ['b', 'c']]) }}",
    "{% set d2 = dict(a=1) %}{{ d2.a }}{% set day = strftime_now('%Y-%m-%d') if strftime_now is defined else '?' %}{{ day | length }}",
    "{% set text = messages[0].content %}{% if text.startswith('H') and not (text.endswith('o') and 'x' in text) %}{{ text[:2] }}{{ text[2:] | trim }}{% endif %}",
    "{% set parts = 'a</t>\nb</t>c'.split('</t>') %}{{ parts[-1] }}{{ parts | length }}{{ parts[0].rstrip('\n').lstrip() }}{{ (parts[1:] | join('-')).strip('\n') }}",
    "{% set ns = namespace(first=true, out='') %}{% for m in messages %}{% if ns.first %}{% set ns.first = false %}{% else %}{% set ns.out = ns.out ~ ',' %}{% endif %}{% set ns.out = ns.out + m['role'] %}{% endfor %}{{ ns.out }}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}{{ loop.index0 % 2 }}{% endfor %}",
    "{{ '<|' ~ 'x' ~ '|>' + ('y' if true) }}{{ ['a', 'b'][n % 2] }}{{ (messages | length) - 1 }}{{ messages | length - 1 }}{{ -1 if n else 1 }}",
    "{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}p{% else %}q{% endif %}{% if enable_thinking is defined and enable_thinking is false %}r{% endif %}",
    "{% set tools = tools or [] %}{{ tools | length }}{% if not tools %}none{% endif %}{% set x = x | default({}) %}{{ x.y is defined }}{{ x | tojson }}",
    "{%- for m in messages -%}\n    {%- if loop.first -%}\n        F\n    {%- elif loop.last -%}\n        L\n    {%- endif -%}\n    {{ m.role }}\n{% endfor %}end",
    "{# a\n multi-line #}\n\n  {%- set x = [\n    1,\n    2,\n  ] -%}\n\n{{ x }}\n  {%- for i in x %}\n    - {{ i }}\n  {%- endfor %}\n",
    "{{ messages[0].role.upper()[:1] ~ messages[0]['role'][1:] }}{{ 'a,b' .split(',') | last }}{{ n|int|string + '!' }}{{ ('x' ~ n)|length }}{{ [n, f]|map('string')|join('/') }}",
    "{{ {'type': 'object', 'p': {'q': [1, 2.5, none, true]}} | tojson(indent=4) }}{{ 'é<' | tojson(ensure_ascii=true) }}{{ {'a': 1}.items() | length }}{{ {'b': 1, **{}} if false else 'k' }}",
    "{{ messages[0].content is string and n in [6, 7] or false }}{{ n not in [1] and 'a' not in 'b' }}{{ 'a' if n is defined and n is not none and n > 1 else 'b' }}{{ not n == 8 }}{{ n is not string }}",
]
out=[]
for s in snips:
    try: out.append(dict(src=s,text=compiled(s).render(**V)))
    except Exception as e: out.append(dict(src=s,error=str(e)))
json.dump(dict(vars=V,cases=out),open(Path(__file__).with_name('cases.json'), 'w', encoding='utf-8'),ensure_ascii=False)
print(len(out), sum('error' in o for o in out))
