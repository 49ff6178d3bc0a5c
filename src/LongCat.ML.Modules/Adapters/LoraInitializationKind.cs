namespace LongCat.ML.Modules;

/// <summary>The rules of <see cref="LoraInitialization"/>.</summary>
public enum LoraInitializationKind
{
    /// <summary>A uniform within ±1/√in, B zero.</summary>
    Default,

    /// <summary>A normal with standard deviation 1/r, B zero.</summary>
    Gaussian,

    /// <summary>From the largest singular values of the weight, which is reduced by the product.</summary>
    Pissa,
}
