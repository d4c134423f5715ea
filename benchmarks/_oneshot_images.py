"""Two convolutional networks, written to fit their public weights, and the images they are tried on."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel=3):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class ContrastAttention(nn.Module):
    """Channels weighted by their standard deviation plus their mean."""

    def __init__(self, channels):
        super().__init__()
        self.conv_du = nn.Sequential(
            conv(channels, channels // 16, 1), nn.ReLU(), conv(channels // 16, channels, 1), nn.Sigmoid()
        )

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return x * self.conv_du(mean + x.var((2, 3), keepdim=True, correction=0).sqrt())


class Distillation(nn.Module):
    """Four convolutions; a quarter of the channels leaves after each, the rest goes on."""

    def __init__(self, width):
        super().__init__()
        self.quarter = width // 4
        rest = width - self.quarter
        self.c1, self.c2, self.c3 = conv(width, width), conv(rest, width), conv(rest, width)
        self.c4, self.c5 = conv(rest, self.quarter), conv(width, width, 1)
        self.cca = ContrastAttention(width)

    def forward(self, x):
        kept, rest = [], x
        for layer in (self.c1, self.c2, self.c3):
            out = F.leaky_relu(layer(rest), 0.05)
            kept.append(out[:, : self.quarter])
            rest = out[:, self.quarter :]
        return x + self.c5(self.cca(torch.cat([*kept, self.c4(rest)], 1)))


class IMDN(nn.Module):
    """Information multi-distillation network for x2 super-resolution (Hui et al., ACM MM 2019)."""

    def __init__(self, width=64, blocks=6):
        super().__init__()
        self.fea_conv = conv(3, width)
        self.blocks = [f"IMDB{number}" for number in range(1, blocks + 1)]
        for name in self.blocks:
            self.add_module(name, Distillation(width))
        self.c = nn.Sequential(conv(blocks * width, width, 1), nn.LeakyReLU(0.05))
        self.LR_conv = conv(width, width)
        self.upsampler = nn.Sequential(conv(width, 12), nn.PixelShuffle(2))

    def forward(self, x):
        first = hidden = self.fea_conv(x)
        stages = []
        for name in self.blocks:
            hidden = self.get_submodule(name)(hidden)
            stages.append(hidden)
        return self.upsampler(self.LR_conv(self.c(torch.cat(stages, 1))) + first)


def load_imdn(data: Path) -> IMDN:
    state = torch.load(data / "sr" / "IMDN_x2.pth", map_location="cpu", weights_only=True)
    model = IMDN()
    model.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    return model.eval()


def read_image(path: Path, size=None) -> torch.Tensor:
    """RGB / 255, (1, 3, height, width)."""
    from PIL import Image

    image = Image.open(path).convert("RGB")
    if size is not None:
        image = image.resize(size)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255


def set5_psnr(model: nn.Module, data: Path) -> float:
    """Mean PSNR in dB on the Y channel, 2 pixels cut at the border."""
    weights = torch.tensor([65.481, 128.553, 24.966]).view(3, 1, 1) / 255
    found = []
    for path in sorted((data / "sr" / "Set5").glob("*.png")):
        with torch.no_grad():
            out = model(read_image(data / "sr" / "Set5_LR" / "x2" / path.name)).clamp(0, 1)
        truth = read_image(path)[..., : out.shape[2], : out.shape[3]]
        gap = (((out - truth)[0] * weights).sum(0))[2:-2, 2:-2]
        found.append(float(-10 * gap.square().mean().log10()))
    return sum(found) / len(found)


def cifar_patches(data: Path, count: int) -> torch.Tensor:
    """Natural images of 32 x 32 pixels, (count, 3, 32, 32)."""
    sys.path.insert(0, str(data))
    import imgpack

    images, _ = imgpack.load(data / "cifar10_near2" / "train_0.imgpack")
    return torch.from_numpy(images[:count].copy()).permute(0, 3, 1, 2).float() / 255


def pointwise(inputs, outputs, *extra):
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), *extra]


def depthwise(channels, kernel, stride, *extra):
    layer = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [layer, nn.BatchNorm2d(channels), *extra]


class ShuffleUnit(nn.Module):
    """Half of the channels pass; at stride 2 both halves are made anew."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        own, middle = outputs - inputs, outputs // 2
        self.branch_main = nn.Sequential(
            *pointwise(inputs, middle, nn.ReLU()), *depthwise(middle, 3, stride), *pointwise(middle, own, nn.ReLU())
        )
        self.branch_proj = None
        if stride == 2:
            self.branch_proj = nn.Sequential(*depthwise(inputs, 3, 2), *pointwise(inputs, inputs, nn.ReLU()))

    def forward(self, x):
        if self.branch_proj is not None:
            return torch.cat([self.branch_proj(x), self.branch_main(x)], 1)
        return torch.cat([x[:, 0::2], self.branch_main(x[:, 1::2])], 1)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.first_conv = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        width = 24
        for name, outputs, count in (("stage2", 48, 4), ("stage3", 96, 8), ("stage4", 192, 4)):
            units = [ShuffleUnit(width, outputs, 2), *(ShuffleUnit(outputs // 2, outputs, 1) for _ in range(count - 1))]
            self.add_module(name, nn.Sequential(*units))
            width = outputs

    def forward(self, x):
        fine = self.stage2(self.maxpool(self.first_conv(x)))
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)


class Pointwise(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1x1 = nn.Sequential(*pointwise(inputs, outputs, nn.ReLU()))

    def forward(self, x):
        return self.conv1x1(x)


class Pyramid(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.Conv1x1 = Pointwise(inputs, width)
        for depth in (1, 2, 3):
            layers = [layer for _ in range(depth) for layer in depthwise(width, 5, 1, nn.ReLU())]
            self.add_module(f"S{depth}", nn.Sequential(*layers))
        self.output = nn.Sequential(*pointwise(3 * width, width))

    def forward(self, x):
        x = self.Conv1x1(x)
        return F.relu(x + self.output(torch.cat([self.S1(x), self.S2(x), self.S3(x)], 1)))


class Branch(nn.Module):
    def __init__(self, width, outputs):
        super().__init__()
        self.conv5x5 = nn.Sequential(*depthwise(width, 5, 1, nn.ReLU()), *pointwise(width, outputs))

    def forward(self, x):
        return self.conv5x5(x)


class Head(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.conv1x1 = Pointwise(width, width)
        self.obj_layers, self.reg_layers = Branch(width, 1), Branch(width, 4)
        self.cls_layers = Branch(width, classes)

    def forward(self, x):
        x = self.conv1x1(x)
        return torch.cat([self.obj_layers(x).sigmoid(), self.reg_layers(x), self.cls_layers(x).softmax(1)], 1)


class FastestDet(nn.Module):
    """The detector of that name (dog-qiuqiu/FastestDet), for 80 classes."""

    def __init__(self):
        super().__init__()
        self.backbone, self.SPP, self.detect_head = Backbone(), Pyramid(336, 96), Head(96, 80)

    def forward(self, x):
        fine, middle, coarse = self.backbone(x)
        coarse = F.interpolate(coarse, scale_factor=2, mode="nearest")
        fine = F.avg_pool2d(fine, 3, 2, 1)
        return self.detect_head(self.SPP(torch.cat([fine, middle, coarse], 1)))


def load_fastestdet(data: Path) -> FastestDet:
    model = FastestDet()
    model.load_state_dict(torch.load(data / "detect" / "FastestDet.pth", map_location="cpu", weights_only=True))
    return model.eval()


def blood_images(data: Path, count: int, skip: int = 0) -> torch.Tensor:
    """BCCD images as FastestDet takes them: BGR / 255, 352 x 352."""
    paths = sorted((data / "detect" / "bccd").glob("*.jpg"))[skip : skip + count]
    return torch.cat([read_image(path, (352, 352)).flip(1) for path in paths])
