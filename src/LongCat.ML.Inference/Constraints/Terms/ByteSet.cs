namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>A set of bytes, four words of 64 bits.</summary>
internal readonly record struct ByteSet(ulong A, ulong B, ulong C, ulong D)
{
    public bool IsEmpty => (A | B | C | D) == 0;

    public static ByteSet Range(byte first, byte last)
    {
        ByteSet set = default;
        for (int value = first; value <= last; value++)
        {
            set = set.With((byte)value);
        }

        return set;
    }

    public static ByteSet Of(string characters) => characters.Aggregate(default(ByteSet), (set, character) => set.With(checked((byte)character)));

    public bool Contains(byte value) => (((value >> 6) switch { 0 => A, 1 => B, 2 => C, _ => D }) >> (value & 63) & 1) != 0;

    public ByteSet Without(string characters) => new ByteSet(~0UL, ~0UL, ~0UL, ~0UL).Minus(Of(characters)).And(this);

    public override string ToString() => $"{A:x},{B:x},{C:x},{D:x}";

    private ByteSet With(byte value)
    {
        ulong bit = 1UL << (value & 63);
        return (value >> 6) switch
        {
            0 => this with { A = A | bit },
            1 => this with { B = B | bit },
            2 => this with { C = C | bit },
            _ => this with { D = D | bit },
        };
    }

    private ByteSet And(ByteSet other) => new(A & other.A, B & other.B, C & other.C, D & other.D);

    private ByteSet Minus(ByteSet other) => new(A & ~other.A, B & ~other.B, C & ~other.C, D & ~other.D);
}
