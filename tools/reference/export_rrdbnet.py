"""Writes tests/fixtures/upscalers/: tiny random RRDBNets in each naming, and what PyTorch makes of a
picture with them.

    python tools/reference/export_rrdbnet.py

The network is written down here from the papers (arXiv:1809.00219, arXiv:2107.10833); the files have
the tensor names of the published ones. `expected` is the picture [H, W, 3] in 0..1, not clamped.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

OUT = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "upscalers"


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def leaky(x):
    return F.leaky_relu(x, 0.2)


class DenseBlock(nn.Module):
    def __init__(self, features, growth):
        super().__init__()
        for i in range(5):
            setattr(self, f"conv{i + 1}",
                    conv(features + i * growth, growth if i < 4 else features))

    def forward(self, x):
        seen = [x]
        for i in range(4):
            seen.append(leaky(getattr(self, f"conv{i + 1}")(torch.cat(seen, 1))))
        return self.conv5(torch.cat(seen, 1)) * 0.2 + x


class Rrdb(nn.Module):
    def __init__(self, features, growth):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x):
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RrdbNet(nn.Module):
    def __init__(self, unshuffle=1, features=8, growth=4, blocks=2, doublings=2):
        super().__init__()
        self.unshuffle, self.doublings = unshuffle, doublings
        self.conv_first = conv(3 * unshuffle ** 2, features)
        self.body = nn.Sequential(*(Rrdb(features, growth) for _ in range(blocks)))
        self.conv_body = conv(features, features)
        for i in range(doublings):
            setattr(self, f"conv_up{i + 1}", conv(features, features))
        self.conv_hr, self.conv_last = conv(features, features), conv(features, 3)

    def forward(self, x):
        h = self.conv_first(F.pixel_unshuffle(x, self.unshuffle))
        h = h + self.conv_body(self.body(h))
        for i in range(self.doublings):
            h = leaky(getattr(self, f"conv_up{i + 1}")(F.interpolate(h, scale_factor=2)))
        return self.conv_last(leaky(self.conv_hr(h)))


def trunk_name(name, _):
    """ESRGAN's naming."""
    for new, old in (("conv_body.", "trunk_conv."), ("body.", "RRDB_trunk."), (".rdb", ".RDB"),
                     ("conv_up", "upconv"), ("conv_hr.", "HRconv.")):
        name = name.replace(new, old)
    return name


def sequence_name(name, net):
    """The naming of ESRGAN's first release: numbers in one sequence."""
    part, rest = name.split(".", 1)
    if part == "body":
        index, dense, convolution, kind = rest.split(".")
        return f"model.1.sub.{index}.{dense.upper()}.{convolution}.0.{kind}"
    place = {"conv_first": "0", "conv_body": f"1.sub.{len(net.body)}",
             "conv_hr": str(3 * net.doublings + 2), "conv_last": str(3 * net.doublings + 4)}
    if part.startswith("conv_up"):
        place[part] = str(3 * int(part[-1]))
    return f"model.{place[part]}.{rest}"


CASES = {
    "x4": (dict(), lambda name, _: name),
    "x4-trunk": (dict(), trunk_name),
    "x4-sequence": (dict(), sequence_name),
    "x2-sequence": (dict(doublings=1), sequence_name),
    "x2-unshuffled": (dict(unshuffle=2), lambda name, _: f"params_ema.{name}"),
    "x1-unshuffled": (dict(unshuffle=4, blocks=1), lambda name, _: name),
}


@torch.no_grad()
def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for case, (sizes, rename) in CASES.items():
        torch.manual_seed(0)
        net = RrdbNet(**sizes)
        for parameter in net.parameters():  # larger than the default, so that every layer shows
            parameter.mul_(1.7)
        net.conv_last.bias.add_(0.6)  # most of the picture within 0..1
        state = {rename(name, net): value.contiguous() for name, value in net.state_dict().items()}
        save_file(state, OUT / f"{case}.safetensors")
        picture = torch.randint(0, 256, (24, 20, 3), generator=torch.Generator().manual_seed(1))
        x = (picture.float() / 255).permute(2, 0, 1)[None]
        expected = net(x)[0].permute(1, 2, 0).contiguous()
        save_file({"picture": picture.to(torch.uint8), "expected": expected},
                  OUT / f"{case}-picture.safetensors")
        print(case, tuple(expected.shape), f"{expected.min():.3f}..{expected.max():.3f}")


if __name__ == "__main__":
    main()
