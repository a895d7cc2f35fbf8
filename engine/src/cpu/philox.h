#pragma once

#include <array>
#include <cstdint>

namespace normlab {

using PhiloxWords = std::array<uint32_t, 4>;

inline constexpr uint32_t kPhiloxMultipliers[2] = {0xD2511F53, 0xCD9E8D57};
inline constexpr uint32_t kPhiloxKeySteps[2] = {0x9E3779B9, 0xBB67AE85};

/// Philox4x32-10 (Salmon et al., SC 2011) of one counter.
constexpr PhiloxWords philox(PhiloxWords c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{kPhiloxMultipliers[0]} * c[0];
    const uint64_t b = uint64_t{kPhiloxMultipliers[1]} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += kPhiloxKeySteps[0];
    key1 += kPhiloxKeySteps[1];
  }
  return c;
}

/// A block of a generator's stream: the counter is its number, the key the seed.
constexpr PhiloxWords philox_block(uint64_t seed, uint64_t block) {
  return philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
                static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

}  // namespace normlab
