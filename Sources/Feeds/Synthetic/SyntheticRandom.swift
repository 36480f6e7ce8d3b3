/// The synthetic exchange's source of chance: the same seed gives the same numbers on every machine.
///
/// Xoshiro256** (Blackman and Vigna) seeded by SplitMix64. Logarithm, exponential and root are made of IEEE additions,
/// multiplications and divisions alone: the C library's differ between machines, and a pure module links none.
struct SyntheticRandom: Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init(seed: UInt64) {
        var mixed = seed
        func split() -> UInt64 {
            mixed &+= 0x9E37_79B9_7F4A_7C15
            var word = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            return word ^ (word >> 31)
        }
        state = (split(), split(), split(), split())
    }

    mutating func next() -> UInt64 {
        let word = state.1 &* 5
        let result = ((word << 7) | (word >> 57)) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = (state.3 << 45) | (state.3 >> 19)
        return result
    }

    /// A number from 0 up to but not including 1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// A whole number from 0 up to but not including `bound`, which is above 0.
    mutating func below(_ bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }

    mutating func isTrue(withChance chance: Double) -> Bool { unit() < chance }

    /// A waiting time of mean 1.
    mutating func exponential() -> Double { -Self.logarithm(1 - unit()) }

    /// A number of mean 0 and variance 1 with a bell's shape: the sum of four evenly spread ones, at most 3.47 from zero.
    mutating func bell() -> Double {
        let word = next()
        let sum = (word & 0xFFFF) &+ (word >> 16 & 0xFFFF) &+ (word >> 32 & 0xFFFF) &+ (word >> 48)
        return (Double(sum) - 131_070) * (1 / 37_837.227)
    }

    /// A fat-tailed number from 1 to `most`: above *x* with chance 1/x².
    mutating func pareto(most: Double) -> Double { min(Self.inverseRoot(1 - unit()), most) }

    /// The natural logarithm of a positive normal number, right to 11 digits.
    static func logarithm(_ number: Double) -> Double {
        let bits = number.bitPattern
        var exponent = Int(bits >> 52 & 0x7FF) - 1023
        var mantissa = Double(bitPattern: bits & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000)
        if mantissa > 1.414_213_562_373_095_1 {
            mantissa *= 0.5
            exponent += 1
        }
        let ratio = (mantissa - 1) / (mantissa + 1)
        let square = ratio * ratio
        let outer = 1 / 9.0 + square * (1 / 11.0 + square * (1 / 13.0))
        let series = 1 + square * (1 / 3.0 + square * (1 / 5.0 + square * (1 / 7.0 + square * outer)))
        return 2 * ratio * series + Double(exponent) * 0.693_147_180_559_945_3
    }

    /// One over the square root of a number that is zero or more, right to 13 digits; of zero, something finite.
    static func inverseRoot(_ number: Double) -> Double {
        let half = number * 0.5
        var root = Double(bitPattern: 0x5FE6_EB50_C7B5_37A9 &- number.bitPattern >> 1)
        for _ in 0..<4 { root *= 1.5 - half * root * root }
        return root
    }

    static func root(_ number: Double) -> Double { number * inverseRoot(number) }

    /// The natural exponential, right to 9 digits, of a number from -700 to 700; nearer ones stand for those beyond.
    static func exponential(_ number: Double) -> Double {
        let bounded = min(max(number, -700), 700)
        let power = Int(bounded * 1.442_695_040_888_963_4 + (bounded < 0 ? -0.5 : 0.5))
        let rest = bounded - Double(power) * 0.693_147_180_559_945_3
        let outer = 1 / 120.0 + rest * (1 / 720.0 + rest * (1 / 5_040.0 + rest * (1 / 40_320.0)))
        let series = 1 + rest * (1 + rest * (0.5 + rest * (1 / 6.0 + rest * (1 / 24.0 + rest * outer))))
        return series * Double(bitPattern: UInt64(1023 + power) << 52)
    }
}
