// The official Node client against a server of the tiny model.
const OpenAI = require("openai");
const assert = require("node:assert");

async function main() {
  const client = new OpenAI({ maxRetries: 0 });
  const ids = [];
  for await (const model of await client.models.list()) ids.push(model.id);
  assert.deepStrictEqual(ids, ["tiny"]);

  const ask = { model: "tiny", messages: [{ role: "user", content: "Hi" }], max_completion_tokens: 16, seed: 3 };
  const whole = await client.chat.completions.create(ask);
  const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
  let text = "", usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.strictEqual(text, whole.choices[0].message.content);
  assert.deepStrictEqual(usage, whole.usage);

  const helper = client.chat.completions.stream(ask);
  assert.strictEqual((await helper.finalChatCompletion()).choices[0].message.content, text);

  const schema = { type: "object", properties: { yes: { type: "boolean" } }, required: ["yes"], additionalProperties: false };
  const shaped = await client.chat.completions.create({ ...ask, max_completion_tokens: 40,
    response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } } });
  assert.strictEqual(typeof JSON.parse(shaped.choices[0].message.content).yes, "boolean");

  const plain = await client.completions.create({ model: "tiny", prompt: ["a", "b"], max_tokens: 3, logprobs: 1 });
  assert.strictEqual(plain.choices.length, 2);
  await assert.rejects(client.chat.completions.create({ ...ask, model: "none" }), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ ...ask, temperature: -1 }), OpenAI.BadRequestError);
  await assert.rejects(new OpenAI({ apiKey: "wrong", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);

  const left = await client.chat.completions.create({ ...ask, max_completion_tokens: 400, stream: true });
  for await (const _ of left) break; // hangs up
}

main().catch((e) => { console.error(e); process.exit(1); });
