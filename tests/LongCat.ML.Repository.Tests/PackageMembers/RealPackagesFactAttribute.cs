namespace LongCat.ML.RepositoryTests.PackageMembers;

/// <summary>A test that only the real packages can pass: skips with its reason where the stand-ins take their place.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class RealPackagesFactAttribute : FactAttribute
{
    public RealPackagesFactAttribute()
    {
        if (PackageMode.IsStandIn)
        {
            Skip = "needs the real packages (this build uses the stand-ins of tests/standins)";
        }
    }
}
