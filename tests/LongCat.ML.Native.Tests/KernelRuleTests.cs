using System.Runtime.InteropServices;
using LongCat.ML.Benchmarks;
using LongCat.ML.Native;
using LongCat.ML.Onnx.Tests;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Native.Tests;

/// <summary>What the benchmarks print as the kernels of a machine is what the operators run there.</summary>
[Collection(KernelPath.Collection)]
public sealed class KernelRuleTests
{
    private const string Avx512 = "avx2 fma avx512f avx512bw avx512dq avx512vl";

    [Theory]
    [InlineData(Architecture.X64, "sse4_2", null, "reference")]
    [InlineData(Architecture.X64, "avx2", null, "reference")]
    [InlineData(Architecture.X64, "avx2 fma", null, "avx2")]
    [InlineData(Architecture.X64, "avx2 fma avx_vnni", null, "avxvnni")]
    [InlineData(Architecture.X64, Avx512, null, "avx512, integers avx2")]
    [InlineData(Architecture.X64, Avx512 + " avx512_vnni", null, "avx512")]
    [InlineData(Architecture.X64, Avx512 + " avx512_vnni avx_vnni", "", "avx512")]
    [InlineData(Architecture.X64, Avx512 + " avx512_vnni avx512_bf16", null, "avx512bf16")]
    [InlineData(Architecture.X64, Avx512 + " avx512_bf16", null, "avx512bf16, integers avx2")]
    [InlineData(Architecture.X64, "avx2 fma avx512_bf16", null, "avx2")]
    [InlineData(Architecture.X64, Avx512 + " avx512_vnni", "avx2", "avx2 (LONGCAT_KERNEL)")]
    [InlineData(Architecture.Arm64, "fp asimd", null, "neon, integers reference")]
    [InlineData(Architecture.Arm64, "fp asimd asimddp", null, "neon")]
    [InlineData(Architecture.Arm64, "fp asimd asimddp", "reference", "reference (LONGCAT_KERNEL)")]
    public void TheRuleOfEachProcessor(Architecture architecture, string features, string? forced, string expected) =>
        Assert.Equal(expected, KernelRule.Describe(architecture, features, forced));

    /// <summary>The library names its best path when it refuses one that the processor lacks: no processor has both of these.</summary>
    [Fact]
    public void TheRuleOfThisProcessorIsTheLibrarys()
    {
        string lacking = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? "neon" : "avx2";
        string words = File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("flags", StringComparison.Ordinal) || line.StartsWith("Features", StringComparison.Ordinal));
        using KernelPath path = new(lacking);
        using SessionOptions options = new();

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _));

        string best = KernelRule.Describe(RuntimeInformation.ProcessArchitecture, words.Split(':', 2)[1].Trim(), null).Split(',')[0];
        Assert.EndsWith($"its best path is {best}", error.Message.TrimEnd(), StringComparison.Ordinal);
    }
}
