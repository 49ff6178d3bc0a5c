namespace LongCat.ML.RepositoryTests.CrossBuilds;

/// <summary>A test that needs cross compilers and emulators, some minutes and, the first time, a download: only where it is asked for.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CrossBuildTheoryAttribute : TheoryAttribute
{
    public CrossBuildTheoryAttribute()
    {
        if (Environment.GetEnvironmentVariable("LONGCAT_CROSS") != "1")
        {
            Skip = "takes cross compilers, wine and qemu: LONGCAT_CROSS=1 asks for it, and so does ./run cross";
        }
    }
}
