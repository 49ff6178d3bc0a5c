using System.Globalization;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Onnx.Tests;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>One way to spoil a case, and what the error must name.</summary>
internal sealed record Spoiling(string Named, Func<FuzzCase, Feed?[]> Apply);

/// <summary>The inputs of one call of an operator, valid, and ways to make them invalid.</summary>
internal sealed record FuzzCase(
    string Operator, Feed?[] Inputs, (string, ElementType)[] Outputs, AttributeProto[] Attributes, Spoiling[] Spoilings, string Description)
{
    /// <summary>Whether all paths give the same bits.</summary>
    public bool Exact { get; init; }
}

/// <summary>
/// Random shapes and values through ONNX Runtime: valid ones give what the reference kernels give, spoiled ones an error that names operator and
/// input. The tests force a kernel path and so run alone. The seeds are fixed.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class OperatorFuzzTests(ITestOutputHelper output)
{
    // float32 sums of at most a few hundred products around 1, in another order than the reference's double sums; measured: below 4e-6.
    private const float Tolerance = 5e-5f;

    // Attention over a bfloat16 cache by dot products of bfloat16: queries and weights have 8 bits, 2^-9 of a score and 2^-9 of a weight. With elements of
    // kv_b in -1..1 the scores of latent attention are up to tens, and an output is a sum of tens of products that may cancel.
    private const float PairTolerance = 1e-2f, LatentPairTolerance = 5e-2f;

    [Theory]
    [InlineData("MatMul", 60)]
    [InlineData("LoraMatMul", 60)]
    [InlineData("NGramEmbedding", 50)]
    [InlineData("LatentAttention", 50)]
    [InlineData("AttentionIndexer", 50)]
    [InlineData("PagedAttention", 60)]
    [InlineData("ExpertMixture", 50)]
    [InlineData("ExpertMixture of 4 bits", 50)]
    [InlineData("W4A8MatMul", 80)]
    [InlineData("W8A8MatMul", 50)]
    [InlineData("Int8Embedding", 30)]
    [InlineData("RmsNormQuantize", 50)]
    [InlineData("SiluMulQuantize", 40)]
    [InlineData("SparseGatedMlp", 60)]
    public void Valid_inputs_equal_the_reference_and_spoiled_ones_name_operator_and_input(string name, int cases)
    {
        Random random = new(20261121);
        float most = 0, mostOfPairs = 0;
        int errors = 0;
        for (int i = 0; i < cases; i++)
        {
            FuzzCase fuzz = name switch
            {
                "MatMul" => FuzzCases.MatMul(random),
                "LoraMatMul" => FuzzCases.LoraMatMul(random),
                "NGramEmbedding" => FuzzCases.NGramEmbedding(random),
                "LatentAttention" => FuzzCases.LatentAttention(random),
                "AttentionIndexer" => FuzzCases.AttentionIndexer(random),
                "PagedAttention" => FuzzCases.PagedAttention(random),
                "ExpertMixture" => FuzzCases.ExpertMixture(random),
                "W4A8MatMul" => FuzzCases.W4A8MatMul(random),
                "W8A8MatMul" => FuzzCases.W8A8MatMul(random),
                "Int8Embedding" => FuzzCases.Int8Embedding(random),
                "RmsNormQuantize" => FuzzCases.RmsNormQuantize(random),
                "SiluMulQuantize" => FuzzCases.SiluMulQuantize(random),
                "SparseGatedMlp" => FuzzCases.SparseGatedMlp(random),
                _ => FuzzCases.W4A8ExpertMixture(random),
            };
            string what = $"case {i.ToString(CultureInfo.InvariantCulture)} ({fuzz.Description})";
            using OperatorSession session = Open(fuzz, fuzz.Inputs);
            float[] got = Run(session, fuzz), want;
            using (new KernelPath("reference"))
            {
                using OperatorSession reference = Open(fuzz, fuzz.Inputs);
                want = Run(reference, fuzz);
            }

            bool pairs = fuzz.Operator is "LatentAttention" or "PagedAttention" && fuzz.Outputs.Any(item => item.Item2 == ElementType.Bfloat16) && KernelPath.Supported.Contains("avx512bf16");
            float allowed = fuzz.Exact ? 0 : !pairs ? Tolerance : fuzz.Operator == "LatentAttention" ? LatentPairTolerance : PairTolerance;
            Assert.Equal(want.Length, got.Length);
            for (int x = 0; x < got.Length; x++)
            {
                float difference = MathF.Abs(got[x] - want[x]) / (1 + MathF.Abs(want[x]));
                Assert.True(difference <= allowed, $"{what}: [{x}] is {got[x]}, the reference gives {want[x]}");
                most = MathF.Max(most, pairs ? 0 : difference);
                mostOfPairs = MathF.Max(mostOfPairs, pairs ? difference : 0);
            }

            Spoiling spoiling = fuzz.Spoilings[random.Next(fuzz.Spoilings.Length)];
            Feed?[] spoiled = spoiling.Apply(fuzz);
            bool sameRanks = spoiled.Zip(fuzz.Inputs).All(pair => pair.First?.Shape.Length == pair.Second?.Shape.Length && pair.First?.Type == pair.Second?.Type);
            using OperatorSession? other = sameRanks ? null : Open(fuzz, spoiled);
            OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => (other ?? session).Run(spoiled));
            Assert.True(
                error.Message.Contains("longcat::" + fuzz.Operator + " '", StringComparison.Ordinal) && error.Message.Contains(spoiling.Named, StringComparison.Ordinal),
                $"{what}: '{error.Message}' should name {fuzz.Operator} and {spoiling.Named}");
            errors++;

            // The failed call left the session usable.
            Assert.Equal(got, Run(session, fuzz));
        }

        output.WriteLine($"{name}: {cases} cases, largest difference to the reference {most:g3} of 1 + |value| (allowed {Tolerance:g2}), of pairs of bfloat16 {mostOfPairs:g3} (allowed {(name == "LatentAttention" ? LatentPairTolerance : PairTolerance):g2}), {errors} errors");
    }

    // Rows of 8-bit activations are compared by what they stand for: an integer on the edge between two may go either way, by a hundredth of its
    // row's largest value at most. So they are weighed with the share of the tolerance that such a step may take.
    private static float[] Run(OperatorSession session, FuzzCase fuzz)
    {
        if (fuzz.Outputs[0].Item2 == ElementType.Int32)
        {
            return [.. session.RunIntegers(fuzz.Inputs).Select(value => (float)value)];
        }

        if (fuzz.Outputs.All(item => item.Item2 != ElementType.Int8))
        {
            return session.Run(fuzz.Inputs);
        }

        IReadOnlyDictionary<string, Array> outputs = session.RunAll(fuzz.Inputs);
        const float Step = Tolerance / 2;
        return
        [
            .. outputs.Values.SelectMany(values => values switch
            {
                float[] floats => floats,
                int[] sums => sums.Select(sum => sum * Step / 4),
                _ => ((sbyte[])values).Select(value => value * Step),
            }),
        ];
    }

    private static OperatorSession Open(FuzzCase fuzz, Feed?[] inputs) => new(fuzz.Operator, inputs, fuzz.Outputs, fuzz.Attributes);
}
