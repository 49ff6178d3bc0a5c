using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks;

/// <summary>The operators' rule for which kernels run (kernels/cpu/common/cpu_path.cc), from what the system says of the processor.</summary>
internal static class KernelRule
{
    /// <summary>
    /// The path, <c>avx512</c> for one, and behind it the form of the integer kernels where the processor lacks the dot products of its path.
    /// </summary>
    /// <param name="architecture">Of this process.</param>
    /// <param name="features">The words of <c>flags</c> (x86) or <c>Features</c> (ARM) in <c>/proc/cpuinfo</c>.</param>
    /// <param name="forced">The value of LONGCAT_KERNEL; null or empty: the best path.</param>
    public static string Describe(Architecture architecture, string features, string? forced)
    {
        HashSet<string> has = [.. features.Split(' ')];
        string path = forced is { Length: > 0 } ? forced : Best(architecture, has);
        string integers = path switch
        {
            "avx512" or "avx512bf16" when !has.Contains("avx512_vnni") => ", integers avx2",
            "neon" when !has.Contains("asimddp") => ", integers reference",
            _ => "",
        };
        return path + integers + (forced is { Length: > 0 } ? " (LONGCAT_KERNEL)" : "");
    }

    private static string Best(Architecture architecture, HashSet<string> has) => architecture switch
    {
        Architecture.Arm64 => "neon",
        Architecture.X64 when has.IsSupersetOf(["avx2", "fma"]) =>
            has.IsSupersetOf(["avx512f", "avx512bw", "avx512dq", "avx512vl"]) ? has.Contains("avx512_bf16") ? "avx512bf16" : "avx512"
            : has.Contains("avx_vnni") ? "avxvnni" : "avx2",
        _ => "reference",
    };
}
