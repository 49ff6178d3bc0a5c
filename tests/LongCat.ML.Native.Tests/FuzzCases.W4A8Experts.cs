using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

internal static partial class FuzzCases
{
    /// <summary>
    /// Activations and gates are so large that silu(gate) is the gate: what the inner activations are rounded to is then the same on every path.
    /// </summary>
    public static FuzzCase W4A8ExpertMixture(Random random)
    {
        int experts = random.Next(1, 6), zero = random.Next(0, 3), all = experts + zero, hidden = random.Next(1, 150), inner = random.Next(1, 150);
        int tokens = Size(random, 30), top = random.Next(1, all + 1), bytes = random.Next(3), group = bytes == 0 ? 0 : 8 * random.Next(0, 10);
        Feed[] inputs =
        [
            new("x", random.Floats(tokens * hidden).Select(value => 3 + value).ToArray(), tokens, hidden),
            new("router", random.Floats(all * hidden).Select(value => value / hidden).ToArray(), all, hidden), new("correction_bias", random.Floats(all), all),
            .. W4A8Experts.Random(random, experts, hidden, inner, group, bytes, largeGates: true).Feeds,
        ];
        List<Spoiling> spoilings =
        [
            Rank("x", "input 0 (x)"), Resize("x", tokens, hidden + 2, "input 0 (x)"), Resize("router", all + 1, hidden, "input 1 (router)"),
            Resize("correction_bias", all + 1, "input 2 (correction_bias)"),
        ];
        foreach ((Feed input, int i) in inputs.Select((input, i) => (input, i)).Skip(3))
        {
            spoilings.AddRange(Enumerable.Range(0, input.Shape.Length).Select(axis => new Spoiling(
                $"input {i} ({input.Name})",
                fuzz => Change(fuzz, input.Name, old => Sized(old, [.. old.Shape.Select((size, at) => at == axis ? size + 1 : size)])))));
            spoilings.Add(Rank(input.Name, $"input {i} ({input.Name})"));
            if (i < 6)
            {
                spoilings.Add(Type(input.Name, $"input {i} ({input.Name})"));
            }
        }

        return new FuzzCase(
            "ExpertMixture", inputs, [("y", ElementType.Float)],
            [
                NodeAttribute.Int("top_k", top), NodeAttribute.Int("num_experts", experts), NodeAttribute.Int("num_zero_experts", zero),
                NodeAttribute.Float("routed_scaling_factor", 1.5), NodeAttribute.Int("normalize", random.Next(2)),
                NodeAttribute.String("zero_expert_type", random.Next(2) == 0 ? "identity" : "drop"),
                .. W4A8Experts.Attributes(hidden, inner, group, bytes),
            ],
            [.. spoilings], $"{tokens} tokens of {hidden}, {experts} + {zero} experts of {inner} with 4 bits in groups of {group}, {bytes} bytes a scale, top {top}");
    }
}
