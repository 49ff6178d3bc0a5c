namespace LongCat.ML.Checkpoints;

/// <summary>
/// Block-quantized 8-bit float weights (<c>quantization_config</c> with <c>quant_method</c> <c>fp8</c>): a weight [out, in] in F8_E4M3 comes
/// with <c>….weight_scale_inv</c> [⌈out / BlockRows⌉, ⌈in / BlockColumns⌉], and an element's value is code × scale of its block.
/// </summary>
/// <param name="BlockRows">Rows of a block, 128 in the published checkpoints.</param>
/// <param name="BlockColumns">Columns of a block, 128 in the published checkpoints.</param>
public sealed record BlockQuantization(int BlockRows = 128, int BlockColumns = 128)
{
    /// <summary>What a weight's name is followed by in the name of its scales.</summary>
    internal const string ScaleSuffix = "_scale_inv";

    internal static BlockQuantization? Read(ConfigReader config)
    {
        if (config.Object("quantization_config") is not { } quantization)
        {
            return null;
        }

        string? method = quantization.Text("quant_method");
        if (method != "fp8")
        {
            throw quantization.Refuse(
                "quant_method",
                method is null ? "missing" : $"\"{CheckpointException.Printable(method)}\"",
                "\"fp8\" (float blocks): weights that are quantized in any other way are not read; take the checkpoint that they were made from");
        }

        string? format = quantization.Text("fmt");
        if (format is not (null or "e4m3"))
        {
            throw quantization.Refuse("fmt", $"\"{CheckpointException.Printable(format)}\"", "\"e4m3\"");
        }

        if (!quantization.Has("weight_block_size"))
        {
            return new BlockQuantization();
        }

        (int rows, int columns) = quantization.Pair("weight_block_size", 1, 65536);
        return new BlockQuantization(rows, columns);
    }
}
