namespace LongCat.ML.Onnx.Adapters;

/// <summary>What the inputs are called that a graph gets for adapters (docs/design.md section 4). A module is named as in the checkpoint, without <c>.weight</c>.</summary>
/// <remarks>Thread safety: static and without state.</remarks>
public static class AdapterNames
{
    /// <summary>int32 [T]: the adapter of each token, counted from 0; -1 for none.</summary>
    public const string RowAdapter = "row_adapter";

    /// <summary>
    /// int32 [n+1]: adapter i owns the columns start[i] to before start[i+1] of a module's A and these rows of its B. Modules whose adapters have the same ranks share it; others
    /// have one of their own (<see cref="AdapterSite.Start"/>).
    /// </summary>
    public const string AdapterStart = "adapter_start";

    /// <summary>The symbolic rank of a module's A and B.</summary>
    public const string Rank = "lora_r";

    /// <summary>A of all adapters beside each other, float32 [K, ranks], of experts [E, K, ranks]: <c>lora_A.weight</c> of a PEFT file transposed.</summary>
    /// <param name="module">The module.</param>
    public static string A(string module) => $"{module}.lora_A.weight";

    /// <summary>B of all adapters one below the other, float32 [ranks, N], of experts [E, ranks, N]: <c>lora_B.weight</c> of a PEFT file transposed, times the adapter's scale.</summary>
    /// <param name="module">The module.</param>
    public static string B(string module) => $"{module}.lora_B.weight";

    /// <summary>DoRA: m / ‖W + sBA‖ of every output, float32 [n, N], of experts [E, n, N]; 1 for adapters without a magnitude.</summary>
    /// <param name="module">The module.</param>
    public static string Gain(string module) => $"{module}.lora_gain";

    /// <summary>A matrix with every adapter merged into it, float32 [n, N, K]: what latent attention takes for kv_b_proj.</summary>
    /// <param name="module">The module.</param>
    public static string Adapted(string module) => $"{module}.adapted";
}
