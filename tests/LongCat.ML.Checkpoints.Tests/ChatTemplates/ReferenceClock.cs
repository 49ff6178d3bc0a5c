namespace LongCat.ML.Checkpoints.Tests.ChatTemplates;

/// <summary>The clock of the reference's texts: 6 July 2024, 05:04:03.</summary>
internal sealed class ReferenceClock : TimeProvider
{
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override DateTimeOffset GetUtcNow() => new(2024, 7, 6, 5, 4, 3, TimeSpan.Zero);
}
