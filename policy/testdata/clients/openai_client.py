"""The official Python client against a server of the tiny model."""
import json
import openai

client = openai.OpenAI(max_retries=0)
assert [m.id for m in client.models.list()] == ["tiny"]

ask = dict(model="tiny", messages=[{"role": "user", "content": "Hi"}], max_completion_tokens=16, seed=3)
whole = client.chat.completions.create(**ask)
text, usage = "", None
for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
    text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    usage = chunk.usage or usage
assert text == whole.choices[0].message.content, (text, whole)
assert usage == whole.usage, (usage, whole.usage)

schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": False}
shaped = client.chat.completions.create(
    **{**ask, "max_completion_tokens": 40},
    response_format={"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}})
assert isinstance(json.loads(shaped.choices[0].message.content)["yes"], bool)

plain = client.completions.create(model="tiny", prompt=["a", "b"], max_tokens=3, logprobs=1)
assert len(plain.choices) == 2
for change, error in [({"model": "none"}, openai.NotFoundError), ({"temperature": -1}, openai.BadRequestError)]:
    try:
        client.chat.completions.create(**{**ask, **change})
    except error as e:
        assert e.body["message"], e
    else:
        raise AssertionError(f"no {error}")
with client.chat.completions.create(**{**ask, "max_completion_tokens": 400}, stream=True) as left:
    next(iter(left))  # hangs up
