"""Ask for eight digits as JSON, by any HTTP client: python with_httpx.py http://localhost:8080."""

import sys

import httpx
from sklearn.datasets import load_digits


def main(url: str) -> None:
    """Print what the model reads in eight images."""
    images = load_digits().images[:8, None]
    answer = httpx.post(f"{url}/predict?model=digits", json={"instances": images.tolist()})
    answer.raise_for_status()
    print(*answer.json()["classes"])


if __name__ == "__main__":
    main(sys.argv[1])
