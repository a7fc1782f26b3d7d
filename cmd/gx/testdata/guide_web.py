import modal
from typing import Optional

app = modal.App("inference-api")
inference_image = modal.Image.debian_slim(python_version="3.11").pip_install("fastapi")

from pydantic import BaseModel
from typing import Optional


class GenerateRequest(BaseModel):
    prompt: str
    max_tokens: int = 256
    temperature: float = 0.7


class EmbedRequest(BaseModel):
    texts: list[str]
    model: str = "BAAI/bge-base-en-v1.5"
    normalize: bool = True


class EmbedResponse(BaseModel):
    embeddings: list[list[float]]
    model: str
    dimensions: int


embedding_image = (
    modal.Image.debian_slim(python_version="3.11")
    .pip_install("fastapi", "numpy")  # sentence-transformers and torch: a stand-in is beside this file
    .add_local_python_source("sentence_transformers")
)


@app.cls(
    image=embedding_image,
    gpu="T4",
    container_idle_timeout=180,
    allow_concurrent_inputs=16,
)
class EmbeddingService:
    @modal.enter()
    def load(self):
        from sentence_transformers import SentenceTransformer
        self.models: dict = {}

    def _get_model(self, model_name: str):
        if model_name not in self.models:
            from sentence_transformers import SentenceTransformer
            self.models[model_name] = SentenceTransformer(model_name)
        return self.models[model_name]

    @modal.web_endpoint(method="POST", docs=True)
    def embed(self, request: EmbedRequest) -> EmbedResponse:
        model = self._get_model(request.model)
        embeddings = model.encode(
            request.texts,
            normalize_embeddings=request.normalize,
            batch_size=64,
        )
        return EmbedResponse(
            embeddings=embeddings.tolist(),
            model=request.model,
            dimensions=embeddings.shape[1],
        )


# Full FastAPI app with auth and multiple routes
from fastapi import FastAPI, HTTPException, Depends, Header
from fastapi.middleware.cors import CORSMiddleware
import os


def create_app() -> FastAPI:
    web_app = FastAPI(title="ML Inference API", version="1.0.0")

    web_app.add_middleware(
        CORSMiddleware,
        allow_origins=["https://yourdomain.com"],
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type"],
    )

    async def verify_token(authorization: str = Header(...)):
        expected = f"Bearer {os.environ['API_KEY']}"
        if authorization != expected:
            raise HTTPException(status_code=401, detail="Invalid token")

    @web_app.post("/v1/completions", dependencies=[Depends(verify_token)])
    async def completions(request: GenerateRequest):
        # Call internal Modal function — runs in same container
        return {"text": "..."}

    @web_app.get("/health")
    async def health():
        return {"status": "ok"}

    return web_app


@app.function(
    image=inference_image,
    gpu="A10G",
    secrets=[modal.Secret.from_name("api-secrets")],
    container_idle_timeout=300,
    allow_concurrent_inputs=10,
)
@modal.asgi_app()
def fastapi_inference():
    return create_app()
