using System.Runtime.InteropServices;
using LongCat.ML.Native;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Forces one kernel path for the sessions created while it is held. The operators read LONGCAT_KERNEL with getenv when a session creates them;
/// .NET keeps its own copy of the environment, so the variable is set through libc. The tests that do so share one collection and run one by one.
/// </summary>
internal sealed partial class KernelPath : IDisposable
{
    public const string Collection = "kernel paths";

    private const string Variable = "LONGCAT_KERNEL";

    private readonly string? _before = Environment.GetEnvironmentVariable(Variable);

    public KernelPath(string name)
    {
        if (SetVariable(Variable, name, 1) != 0)
        {
            throw new InvalidOperationException($"{Variable} could not be set");
        }
    }

    /// <summary>The paths that the library accepts on this processor; "reference" is always among them.</summary>
    public static IReadOnlyList<string> Supported { get; } = [.. new[] { "reference", "avx2", "avxvnni", "avx512", "avx512bf16", "neon" }.Where(IsSupported)];

    public void Dispose()
    {
        if (_before is null)
        {
            UnsetVariable(Variable);
        }
        else
        {
            SetVariable(Variable, _before, 1);
        }
    }

    private static bool IsSupported(string name)
    {
        using KernelPath path = new(name);
        using SessionOptions options = new();
        try
        {
            options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
            return true;
        }
        catch (OnnxRuntimeException exception) when (name != "reference" && exception.Message.Contains("this processor lacks it", StringComparison.Ordinal))
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);

    [LibraryImport("libc", EntryPoint = "unsetenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int UnsetVariable(string name);
}

/// <summary>The tests that force a kernel path.</summary>
[CollectionDefinition(KernelPath.Collection, DisableParallelization = true)]
public sealed class KernelPathCollection;
