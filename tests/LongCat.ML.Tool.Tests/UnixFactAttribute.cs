namespace LongCat.ML.ToolTests;

/// <summary>A test of signals and pipes as Unix has them.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class UnixFactAttribute : FactAttribute
{
    public UnixFactAttribute() => Skip = OperatingSystem.IsWindows() ? "signals and pipes of Unix" : null;
}
