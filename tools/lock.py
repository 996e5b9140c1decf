"""Write environment.yml from requirements.lock: the same versions, and torch beside them.

The pins stand in the file itself because pip's hash mode would refuse a torch without a hash in the same list.
"""

import re
from pathlib import Path

TORCH = "torch==2.13.0"
HEADER = """\
# The environment for conda users; made from requirements.lock by `make lock`. `make` itself uses pip and a venv.
# torch stands outside the hashed lock, since its CPU and CUDA builds differ: see docs/how-to/install-torch.md.
name: seqrepro
channels:
  - conda-forge
dependencies:
  - python=3.11
  - make
  - pip
  - pip:
"""


def pins(lock: str) -> list[str]:
    """The pinned requirements of a lock, with their markers."""
    found = re.findall(r"^([A-Za-z0-9][^ \n]*==[^ ;\n]+(?: ; [^\\\n]+)?)", lock, re.MULTILINE)
    return [pin.strip() for pin in found]


def environment(lock: str) -> str:
    """The text of environment.yml."""
    lines = [f"      - {pin}" if ";" not in pin else f'      - "{pin}"' for pin in [TORCH, *pins(lock)]]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path("environment.yml").write_text(environment(Path("requirements.lock").read_text()))
