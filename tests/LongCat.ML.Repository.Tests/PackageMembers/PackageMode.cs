using System.Reflection;

namespace LongCat.ML.RepositoryTests.PackageMembers;

/// <summary>Which packages this build used: every test project carries the property LongCatPackages as assembly metadata.</summary>
internal static class PackageMode
{
    public static bool IsStandIn { get; } = typeof(PackageMode).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(entry => entry.Key == "LongCatPackages").Value == "standin";
}
