using System.Globalization;

namespace LongCat.ML.Modules;

/// <summary>What A and B hold before the first step.</summary>
/// <param name="Kind">The rule.</param>
/// <param name="Iterations">For <see cref="LoraInitializationKind.Pissa"/>: 0 for an exact decomposition, else the power iterations of a randomized one.</param>
public readonly record struct LoraInitialization(LoraInitializationKind Kind, int Iterations = 0)
{
    /// <summary>A uniform within ±1/√in, B zero (2106.09685): the model is unchanged at first.</summary>
    public static LoraInitialization Default => new(LoraInitializationKind.Default);

    /// <summary>A normal with standard deviation 1/r, B zero.</summary>
    public static LoraInitialization Gaussian => new(LoraInitializationKind.Gaussian);

    /// <summary>A and B from the r largest singular values of W, which is reduced by their product (PiSSA, 2404.02948).</summary>
    public static LoraInitialization Pissa => new(LoraInitializationKind.Pissa);

    /// <summary>PiSSA with a randomized decomposition, much faster for large matrices.</summary>
    /// <param name="iterations">Power iterations, 1 or more; 16 comes close to the exact one.</param>
    /// <returns>The initialization.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than one iteration.</exception>
    public static LoraInitialization FastPissa(int iterations = 16)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, 1);
        return new LoraInitialization(LoraInitializationKind.Pissa, iterations);
    }

    /// <summary>The name that PEFT gives it: <c>true</c>, <c>gaussian</c>, <c>pissa</c>, <c>pissa_niter_16</c>.</summary>
    public string PeftName => Kind switch
    {
        LoraInitializationKind.Gaussian => "gaussian",
        LoraInitializationKind.Pissa => Iterations == 0 ? "pissa" : string.Create(CultureInfo.InvariantCulture, $"pissa_niter_{Iterations}"),
        _ => "true",
    };
}
