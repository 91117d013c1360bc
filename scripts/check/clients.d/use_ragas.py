from openai import AsyncOpenAI
from ragas.embeddings import OpenAIEmbeddings
from ragas.llms import llm_factory
from ragas.metrics.collections import AnswerRelevancy, Faithfulness, SemanticSimilarity

from cases import BASE, KEY, MODEL, Seen, case, run

SAMPLE = {"user_input": "When was the first super bowl?", "response": "The first super bowl was held on January 15, 1967."}
CONTEXT = ["The First AFL-NFL World Championship Game was played on January 15, 1967, in Los Angeles."]


def llm():
    return llm_factory(MODEL, client=AsyncOpenAI(base_url=BASE, api_key=KEY))


def embeddings():
    return OpenAIEmbeddings(client=AsyncOpenAI(base_url=BASE, api_key=KEY), model=MODEL)


@case("faithfulness")
async def _():
    got = await Faithfulness(llm=llm()).ascore(**SAMPLE, retrieved_contexts=CONTEXT)
    return f"scored {got.value:.2f}"


@case("answer relevancy")
async def _():
    got = await AnswerRelevancy(llm=llm(), embeddings=embeddings()).ascore(**SAMPLE)
    return f"scored {got.value:.2f}"


@case("semantic similarity")
async def _():
    got = await SemanticSimilarity(embeddings=embeddings()).ascore(reference=CONTEXT[0], response=SAMPLE["response"])
    assert 0 < got.value <= 1, got


run()
