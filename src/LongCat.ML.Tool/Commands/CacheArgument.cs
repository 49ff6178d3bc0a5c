using System.CommandLine;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>--cache</c> of the verbs that write ONNX folders.</summary>
internal static class CacheArgument
{
    public static Option<string> Create()
    {
        Option<string> option = new("--cache")
        {
            Description = "How the attention caches hold their values: f32, bf16 in half the memory (logits move by about 1 in 100), or int8 in about a quarter.",
            DefaultValueFactory = _ => "f32",
        };
        option.AcceptOnlyFromAmong("f32", "bf16", "int8");
        return option;
    }

    public static CacheType Type(ParseResult result, Option<string> option) => result.GetValue(option) switch
    {
        "bf16" => CacheType.BFloat16,
        "int8" => CacheType.Int8,
        _ => CacheType.Float32,
    };
}
