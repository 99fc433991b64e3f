"""FastAPI as its tutorial writes it: an `async def` endpoint with a pydantic body, on uvicorn.

Settings: uvicorn's deployment page (uvloop and httptools, one process per core, no access log).
"""

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from session import INPUT, arguments, session

app = FastAPI()
model = None


class Rows(BaseModel):
    """Rows of features."""

    inputs: list[list[float]]


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@app.post("/predict")
async def predict(rows: Rows) -> dict[str, list[list[float]]]:
    """Answer one request by one inference."""
    global model
    model = model or session()
    [found] = model.run(None, {INPUT: np.array(rows.inputs, dtype=np.float32)})
    return {"outputs": found.tolist()}


if __name__ == "__main__":
    options = arguments()
    uvicorn.run(
        "fastapi_app:app",
        port=options.port,
        workers=options.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
