// Drawn characters: strokes on a grid, moved, sheared, thickened and covered with noise, all from
// counters and IEEE operations, so that the pixels are the same everywhere.
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "data/dataset_internal.h"
#include "data/sha256.h"

namespace fp4lab::data::detail {
namespace {

/// Polylines on a grid of 5 x 7 points: two characters a point (column a-e, row 0-6 from the top),
/// strokes separated by blanks.
constexpr std::array<std::string_view, 36> kStrokes = {
    "b0d0e1e5d6b6a5a1b0",           // 0
    "b1c0c6 b6d6",                  // 1
    "a1b0d0e1e2a6e6",               // 2
    "a0e0c2d2e3e5d6b6a5",           // 3
    "d6d0a4e4",                     // 4
    "e0a0a3d3e4e5d6a6",             // 5
    "d0b1a3a5b6d6e5e4d3a3",         // 6
    "a0e0b6",                       // 7
    "b0d0e1d3b3a1b0 b3a5b6d6e5d3",  // 8
    "e3b3a2a1b0d0e1e3d5b6",         // 9
    "a6c0e6 b4d4",                  // A
    "a0a6d6e5e4d3a3 a0d0e1e2d3",    // B
    "e1d0b0a1a5b6d6e5",             // C
    "a0a6c6e4e2c0a0",               // D
    "e0a0a6e6 a3d3",                // E
    "e0a0a6 a3d3",                  // F
    "e1d0b0a1a5b6d6e5e3c3",         // G
    "a0a6 e0e6 a3e3",               // H
    "b0d0 c0c6 b6d6",               // I
    "c0e0 d0d5c6b6a5",              // J
    "a0a6 e0a3e6",                  // K
    "a0a6e6",                       // L
    "a6a0c3e0e6",                   // M
    "a6a0e6e0",                     // N
    "b0d0e1e5d6b6a5a1b0 b2d4",      // O, with a bar inside: a plain one would be a zero
    "a6a0d0e1e2d3a3",               // P
    "b0d0e1e4c6b6a5a1b0 c4e6",      // Q
    "a6a0d0e1e2d3a3 c3e6",          // R
    "e1d0b0a1b3d3e5d6b6a5",         // S
    "a0e0 c0c6",                    // T
    "a0a5b6d6e5e0",                 // U
    "a0c6e0",                       // V
    "a0b6c3d6e0",                   // W
    "a0e6 e0a6",                    // X
    "a0c3e0 c3c6",                  // Y
    "a0e0a6e6 b3d3",                // Z, barred: a plain one is close to a two
};

struct Point {
  float x, y;
};

float squared_distance(Point p, Point a, Point b) {
  const float dx = b.x - a.x, dy = b.y - a.y;
  const float length = dx * dx + dy * dy;
  float t = length > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / length : 0.0f;
  t = t < 0 ? 0.0f : t > 1 ? 1.0f : t;
  const float ex = p.x - (a.x + t * dx), ey = p.y - (a.y + t * dy);
  return ex * ex + ey * ey;
}

/// One character into `pixels` (side x side, 0 ... 1). `random(k)` is the k-th number of this item.
template <class Random>
void draw(std::string_view strokes, std::size_t side, const Random& random, float* pixels) {
  const auto centred = [&](std::uint64_t k) { return random(k) * 2.0f - 1.0f; };
  // x' = c + A (x - c) + t with A = identity plus jitter, in units of the glyph's own box.
  const float a00 = 0.80f + 0.25f * centred(0), a01 = 0.40f * centred(1);
  const float a10 = 0.25f * centred(2), a11 = 0.80f + 0.25f * centred(3);
  const float tx = 0.16f * centred(4), ty = 0.14f * centred(5);
  const float thickness = 0.045f + 0.05f * random(6);
  const float blur = 0.5f / static_cast<float>(side);
  const float ink = 0.5f + 0.5f * random(7);

  const auto place = [&](char column, char row) {
    const float x = static_cast<float>(column - 'a') / 4.0f * 0.6f - 0.3f;
    const float y = static_cast<float>(row - '0') / 6.0f * 0.8f - 0.4f;
    return Point{0.5f + a00 * x + a01 * y + tx, 0.5f + a10 * x + a11 * y + ty};
  };
  for (std::size_t row = 0; row < side; ++row) {
    for (std::size_t col = 0; col < side; ++col) {
      const Point p{(static_cast<float>(col) + 0.5f) / static_cast<float>(side),
                    (static_cast<float>(row) + 0.5f) / static_cast<float>(side)};
      float nearest = 4.0f;
      for (std::size_t i = 0; i + 3 < strokes.size();) {
        if (strokes[i] == ' ') {
          ++i;
          continue;
        }
        if (strokes[i + 2] == ' ') {
          i += 2;
          continue;
        }
        const float d = squared_distance(p, place(strokes[i], strokes[i + 1]),
                                         place(strokes[i + 2], strokes[i + 3]));
        nearest = d < nearest ? d : nearest;
        i += 2;
      }
      const float edge = (thickness + blur - std::sqrt(nearest)) / (2.0f * blur);
      float value = ink * (edge < 0 ? 0.0f : edge > 1 ? 1.0f : edge);
      const std::size_t at = row * side + col;
      value += 0.3f * centred(8 + at);
      pixels[at] = value < 0 ? 0.0f : value > 1 ? 1.0f : value;
    }
  }
}

}  // namespace

ImageDataset draw_glyphs(std::string name, std::uint64_t seed, std::size_t items, std::size_t side,
                         std::size_t classes, double eval_fraction) {
  ImageDataset set;
  set.name = std::move(name);
  set.height = set.width = side;
  set.classes = classes;
  const std::size_t pixels = set.pixels();
  std::vector<float> inputs(items * pixels);
  std::vector<std::int32_t> labels(items);
  const Uniforms random(seed, side == 8 ? 0xD161u : 0x617Fu);
  const std::uint64_t draws = 8 + pixels;
  for (std::size_t i = 0; i < items; ++i) {
    labels[i] = static_cast<std::int32_t>(i % classes);
    draw(
        kStrokes[i % classes], side, [&](std::uint64_t k) { return random.unit(i * draws + k); },
        inputs.data() + i * pixels);
  }
  Sha256 hash;
  hash.update(inputs.data(), inputs.size() * sizeof(float));
  hash.update(labels.data(), labels.size() * sizeof(std::int32_t));
  set.sha256 = hash.hex();
  split_images(set, inputs, labels, eval_fraction);
  return set;
}

}  // namespace fp4lab::data::detail
