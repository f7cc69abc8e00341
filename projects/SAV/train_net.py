#!/usr/bin/env python
r"""Train or evaluate SAV.

Examples::

    train_net.py --config-file configs/dsmlr/SAV-Tiny.yaml
    train_net.py --config-file configs/dsmlr/SAV-Tiny.yaml --resume SOLVER.MAX_ITER 8000
    train_net.py --config-file output/dsmlr/config.yaml --eval-only \
        MODEL.WEIGHTS output/dsmlr/model_final.safetensors
    train_net.py --config-file configs/vehicleseg10k/SAV-ViT-B.yaml --num-gpus 8
    train_net.py --config-file configs/vehicleseg10k/SAV-ViT-B.yaml --num-gpus 8 \
        --num-machines 2 --machine-rank 0 --dist-url tcp://FIRST_MACHINE:PORT
    torchrun --standalone --nproc-per-node 8 --max-restarts 3 \
        train_net.py --config-file configs/vehicleseg10k/SAV-ViT-B.yaml

``--num-gpus`` counts the processes of each machine; without GPUs they share its CPUs. Under
``torchrun`` a job whose process dies starts again by itself, from its last checkpoint.
"""

from sav.engine.arguments import argument_parser
from sav.engine.run import run
from sav.process import run_command

if __name__ == "__main__":
    run_command(lambda: run(argument_parser().parse_args()))
