using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;

namespace LongCat.ML.Native.Tests;

/// <summary>Three stacks of 4-bit matrices, one of each for every expert.</summary>
internal sealed record W4A8Experts(Int8Reference.Weights[] Gate, Int8Reference.Weights[] Up, Int8Reference.Weights[] Down)
{
    /// <summary>Inputs 3 to 8 of the operator: the packed stacks, then their scales.</summary>
    public Feed[] Feeds => [Packed("gate", Gate), Packed("up", Up), Packed("down", Down), Scales("gate_scale", Gate), Scales("up_scale", Up), Scales("down_scale", Down)];

    /// <summary>With <paramref name="largeGates"/> every gate of activations of 2 and more is above 40.</summary>
    public static W4A8Experts Random(Random random, int experts, int hidden, int inner, int group, int bytes, bool largeGates = false)
    {
        Int8Reference.Weights[] Stack(int n, int k) => [.. Enumerable.Range(0, experts).Select(_ => Int8Reference.Weights.Random(random, n, k, group, bytes))];
        Int8Reference.Weights[] gate = Stack(inner, hidden), up = Stack(inner, hidden), down = Stack(hidden, inner);
        if (largeGates)
        {
            gate = [.. gate.Select(one => one with
            {
                Levels = [.. one.Levels.Select(level => (sbyte)Math.Max(1, Math.Abs((int)level) - 1))],
                GroupScales = one.GroupScales is null ? null : [.. one.GroupScales.Select(Math.Abs)],
                Scales = [.. Enumerable.Range(0, inner).Select(n =>
                    21f / Enumerable.Range(0, hidden).Sum(k => one.GroupScales is null ? 1 : Math.Abs((int)one.GroupScales[(n * one.Groups) + (k / one.Group)])))],
            })];
        }

        return new(gate, up, down);
    }

    public static AttributeProto[] Attributes(int hidden, int inner, int group, int bytes) =>
    [
        NodeAttribute.Int("layout", 2), NodeAttribute.Int("hidden_size", hidden), NodeAttribute.Int("intermediate_size", inner),
        NodeAttribute.Int("group_size", group), NodeAttribute.Int("group_scale_bytes", bytes),
    ];

    private static Feed Packed(string name, Int8Reference.Weights[] stack)
    {
        Feed[] parts = [.. stack.Select(one => one.Pack())];
        return new(name, parts.SelectMany(part => (byte[])part.Data).ToArray(), [stack.Length, .. parts[0].Shape]);
    }

    private static Feed Scales(string name, Int8Reference.Weights[] stack) => new(name, stack.SelectMany(one => one.Scales).ToArray(), stack.Length, stack[0].OutFeatures);
}
