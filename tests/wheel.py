"""An installed wheel at work: python tests/wheel.py, in the environment that has it.

The engine loads with its oneDNN, trains a network for some steps, and the command answers.
"""

import subprocess
import sys

import normlab as nl


def losses(steps: int) -> list[float]:
    """Of a small network with a norm, on data that it can fit."""
    nl.manual_seed(0)
    net = nl.nn.Sequential(nl.nn.Linear(16, 64), nl.nn.Norm("adanorm", 64), nl.nn.Linear(64, 4))
    optimizer = nl.optim.Adam(net.parameters(), lr=1e-2)
    x, targets = nl.randn(128, 16), nl.randint(0, 4, 128)
    found = []
    for _ in range(steps):
        loss = nl.cross_entropy(net(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


first, *_, last = losses(200)
assert last < first / 2, f"the loss went from {first} to {last}"
subprocess.run([sys.executable, "-m", "normlab", "info"], check=True)
print(f"normlab {nl.__version__}: loss {first:.3f} -> {last:.3f}")
