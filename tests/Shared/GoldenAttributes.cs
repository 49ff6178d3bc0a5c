namespace LongCat.ML.TestShared;

/// <summary>A test over the golden fixtures: skips with its reason where they are absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class GoldenFactAttribute : FactAttribute
{
    public GoldenFactAttribute() => Skip = GoldenFixtures.Absence;
}

/// <summary>A theory over the golden fixtures: skips with its reason where they are absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class GoldenTheoryAttribute : TheoryAttribute
{
    public GoldenTheoryAttribute() => Skip = GoldenFixtures.Absence;
}
