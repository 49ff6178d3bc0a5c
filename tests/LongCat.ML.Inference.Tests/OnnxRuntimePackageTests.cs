using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Tests;

/// <summary>Both package modes must bring the managed part and its native library, 1.29 or newer.</summary>
public sealed class OnnxRuntimePackageTests
{
    [Fact]
    public void The_native_library_loads_and_is_new_enough()
    {
        Version version = Version.Parse(OrtEnv.Instance().GetVersionString());
        Assert.True(version >= new Version(1, 29), $"ONNX Runtime {version}; at least 1.29 is expected");
        Assert.Contains("CPUExecutionProvider", OrtEnv.Instance().GetAvailableProviders());
    }
}
