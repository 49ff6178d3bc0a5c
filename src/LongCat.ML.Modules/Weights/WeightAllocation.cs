using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// What kind of weights the constructors of the current thread make while a checkpoint is loaded: of the type they will have, and not initialized, since initial
/// values would cost the time and the memory of writing them. Without one, weights are float32 and random.
/// </summary>
internal sealed class WeightAllocation : IDisposable
{
    [ThreadStatic]
    private static WeightAllocation? s_current;

    private readonly WeightAllocation? _outer;

    /// <param name="weights">What is wanted.</param>
    /// <param name="narrow">Whether what W4A8 does not quantize is stored in bfloat16.</param>
    public WeightAllocation(BaseWeights weights, bool narrow)
    {
        Weights = weights;
        TableType = weights == BaseWeights.BFloat16 || (weights == BaseWeights.W4A8 && narrow) ? ScalarType.BFloat16 : ScalarType.Float32;
        _outer = s_current;
        s_current = this;
    }

    public static WeightAllocation? Current => s_current;

    public BaseWeights Weights { get; }

    /// <summary>The type of tables, and of matrices that are not quantized.</summary>
    public ScalarType TableType { get; }

    public void Dispose() => s_current = _outer;
}
