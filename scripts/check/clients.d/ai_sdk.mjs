import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const { BASE_URL: baseURL, API_KEY: apiKey, MODEL } = process.env
const compatible = createOpenAICompatible({ name: 'local', baseURL, apiKey, supportsStructuredOutputs: true })
const openai = createOpenAI({ baseURL, apiKey })
const question = 'Name three colours.'

function check(text) {
  if (typeof text !== 'string' || !text.trim()) throw new Error(`the answer is ${JSON.stringify(text)}`)
}

async function chat(model) {
  check((await generateText({ model, prompt: question })).text)
}

async function stream(model) {
  const result = streamText({ model, prompt: question, onError: () => {} })
  let text = ''
  for await (const piece of result.textStream) text += piece
  check(text)
}

async function tools(model) {
  const cities = []
  const getWeather = tool({
    description: 'The weather in a city',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => (cities.push(city), `It is 17 degrees and raining in ${city}.`),
  })
  const result = await generateText({
    model,
    tools: { get_weather: getWeather },
    stopWhen: stepCountIs(4),
    prompt: 'What is the weather in Paris? Call the tool get_weather to find out.',
  })
  if (!cities.length) return 'the model called no tool'
  if (result.steps.length < 2) throw new Error('the loop ended after one step')
}

async function object(model) {
  const result = await generateText({
    model,
    output: Output.object({ schema: z.object({ name: z.string(), age: z.number() }) }),
    prompt: 'Anna is 31 years old and lives in Oslo. Who is this?',
  })
  check(result.output.name)
}

const cases = []
for (const [name, model] of Object.entries({ createOpenAICompatible: compatible(MODEL), 'openai.chat': openai.chat(MODEL), openai: openai(MODEL) }))
  for (const [what, run] of Object.entries({ chat, stream, tools, object })) cases.push([`${name} ${what}`, () => run(model)])
cases.push(['embeddings', async () => {
  const { embeddings } = await embedMany({ model: compatible.textEmbeddingModel(MODEL), values: ['red', 'blue'] })
  if (embeddings.length !== 2) throw new Error('not two embeddings')
}])

for (const [name, run] of cases) {
  try {
    const seen = await run()
    console.log(seen ? `seen ${name}: ${seen}` : `ok ${name}`)
  } catch (e) {
    console.error(e)
    console.log(`FAIL ${name}: ${String(e).replaceAll(/\s+/g, ' ').slice(0, 300)}`)
  }
}
process.exit(0)
