using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Rotary position embedding (2104.09864): the angle is <c>(float)position · inverse frequency</c> in float32, and cosine and sine carry YaRN's multiplier.
/// <see cref="Apply"/> rotates interleaved pairs (LongCat), <see cref="ApplyToHalves"/> the two halves of a head against each other (Llama and its descendants).
/// </summary>
/// <remarks>Immutable and thread-safe; not a module, since nothing of it is stored in a checkpoint.</remarks>
public sealed class RotaryTable
{
    private readonly float[] _inverseFrequencies;
    private readonly float _multiplier;

    /// <summary>Creates the table.</summary>
    /// <param name="inverseFrequencies">One per pair.</param>
    /// <param name="multiplier">On cosine and sine; 1 without YaRN.</param>
    public RotaryTable(IReadOnlyList<float> inverseFrequencies, double multiplier)
    {
        _inverseFrequencies = [.. inverseFrequencies];
        _multiplier = (float)multiplier;
    }

    /// <summary>Cosine and sine of every token, each [T, 1, pairs] float32.</summary>
    /// <param name="positions">The position of each token, not negative.</param>
    /// <returns>Two tensors that belong to the caller's dispose scope.</returns>
    public (Tensor Cosine, Tensor Sine) At(ReadOnlySpan<int> positions)
    {
        int pairs = _inverseFrequencies.Length;
        int longest = 0;
        foreach (int position in positions)
        {
            longest = Math.Max(longest, position);
        }

        // Packed rows repeat the same few positions, so each is computed once.
        var table = new (float Cosine, float Sine)[(longest + 1) * pairs];
        for (int p = 0; p <= longest; p++)
        {
            for (int i = 0; i < pairs; i++)
            {
                float angle = p * _inverseFrequencies[i];
                table[(p * pairs) + i] = ((float)Math.Cos(angle) * _multiplier, (float)Math.Sin(angle) * _multiplier);
            }
        }

        var cosine = new float[positions.Length * pairs];
        var sine = new float[positions.Length * pairs];
        for (int t = 0; t < positions.Length; t++)
        {
            for (int i = 0; i < pairs; i++)
            {
                (cosine[(t * pairs) + i], sine[(t * pairs) + i]) = table[(positions[t] * pairs) + i];
            }
        }

        long[] shape = [positions.Length, 1, pairs];
        return (tensor(cosine, shape), tensor(sine, shape));
    }

    /// <summary>
    /// Rotates the interleaved pairs (x0,x1),(x2,x3)… of the last dimension. The result lists all first components, then all second ones: queries and keys are
    /// permuted alike, so scores are those of the in-place form.
    /// </summary>
    /// <param name="input">[T, heads, 2·pairs].</param>
    /// <param name="cosine">[T, 1, pairs].</param>
    /// <param name="sine">[T, 1, pairs].</param>
    /// <returns>[T, heads, 2·pairs], first components, then second ones.</returns>
    public static Tensor Apply(Tensor input, Tensor cosine, Tensor sine)
    {
        using var scope = NewDisposeScope();
        long[] shape = input.shape;
        var pairs = input.reshape(shape[0], shape[1], shape[2] / 2, 2);
        var first = pairs.select(3, 0);
        var second = pairs.select(3, 1);
        return cat([first.mul(cosine).sub(second.mul(sine)), second.mul(cosine).add(first.mul(sine))], 2).MoveToOuterDisposeScope();
    }

    /// <summary>Rotates component i of the last dimension with component i + pairs.</summary>
    /// <param name="input">[T, heads, 2·pairs].</param>
    /// <param name="cosine">[T, 1, pairs].</param>
    /// <param name="sine">[T, 1, pairs].</param>
    /// <returns>[T, heads, 2·pairs], in the order of the input.</returns>
    public static Tensor ApplyToHalves(Tensor input, Tensor cosine, Tensor sine)
    {
        using var scope = NewDisposeScope();
        long pairs = input.shape[2] / 2;
        var first = input.narrow(2, 0, pairs);
        var second = input.narrow(2, pairs, pairs);
        return cat([first.mul(cosine).sub(second.mul(sine)), second.mul(cosine).add(first.mul(sine))], 2).MoveToOuterDisposeScope();
    }
}
