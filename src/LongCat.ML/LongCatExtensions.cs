using LongCat.ML;

namespace Microsoft.ML;

/// <summary>Makes LongCat.ML appear on <see cref="MLContext"/>.</summary>
public static class LongCatExtensions
{
    /// <summary>Steps that run language models over text columns.</summary>
    /// <param name="mlContext">The context; its <c>Log</c>, <c>GpuDeviceId</c> and <c>FallbackToCpu</c> are honoured.</param>
    /// <returns>The catalog.</returns>
    public static LongCatCatalog LongCat(this MLContext mlContext) => new(mlContext ?? throw new ArgumentNullException(nameof(mlContext)));
}
