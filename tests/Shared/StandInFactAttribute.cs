using System.Reflection;

namespace LongCat.ML.TestShared;

/// <summary>
/// A test that only a stand-in of tests/standins can pass, with the reason: skips where the real packages are used. Every test
/// project carries the property LongCatPackages as assembly metadata.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class StandInFactAttribute : FactAttribute
{
    public StandInFactAttribute(string why)
    {
        string? packages = typeof(StandInFactAttribute).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .FirstOrDefault(entry => entry.Key == "LongCatPackages")?.Value;
        Skip = packages == "standin" ? null : $"not with the real packages: {why}";
    }
}
