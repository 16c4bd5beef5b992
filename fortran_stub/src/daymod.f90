!> Calendar: the date of a step. After step kt the model stands at nn_date0 + kt rn_Dt.
module daymod
   use par_kind, only: dp, i8
   use dom_oce, only: rn_Dt
   use in_out_manager, only: nn_date0, nn_leapy
   use lib_mpp, only: ctl_stop
   use namread, only: nam_where
   implicit none
   private
   public :: day_init, day_of, rdate_of, nsec_of, ryear_frac, calendar_name

   integer, parameter :: jp_normal(12) = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

contains

   !> Check nn_date0 and nn_leapy.
   subroutine day_init()
      integer :: iy, im, id
      if (all(nn_leapy /= [0, 1, 30])) call ctl_stop('nn_leapy must be 0 (365 days), 1 (Gregorian) or 30 (360 days).', &
      &  nam_where('namrun', 'nn_leapy'))
      iy = nn_date0/10000
      im = mod(nn_date0/100, 100)
      id = mod(nn_date0, 100)
      if (iy < 1 .or. im < 1 .or. im > 12 .or. id < 1) call ctl_stop('nn_date0 is no date; write yyyymmdd, from year 1 on.', &
      &  nam_where('namrun', 'nn_date0'))
      if (id > month_days(iy, im)) call ctl_stop('nn_date0: this month has no such day in this calendar.', &
      &  nam_where('namrun', 'nn_date0')//', '//nam_where('namrun', 'nn_leapy'))
   end subroutine day_init

   !> CF name of the calendar.
   pure function calendar_name() result(cdname)
      character(len=:), allocatable :: cdname
      select case (nn_leapy)
      case (0)
         cdname = 'noleap'
      case (1)
         cdname = 'proleptic_gregorian'
      case default
         cdname = '360_day'
      end select
   end function calendar_name

   !> Seconds from nn_date0 to the end of step kt.
   pure integer(i8) function nsec_of(kt)
      integer, intent(in) :: kt
      nsec_of = nint(real(kt, dp)*real(rn_Dt, dp), i8)
   end function nsec_of

   !> Date at the end of step kt: yyyymmdd, seconds of the day, day of the year from 1.
   pure subroutine day_of(kt, kdate, ksec, kday)
      integer, intent(in) :: kt
      integer, intent(out) :: kdate, ksec, kday
      integer(i8) :: isec, idays
      integer :: iy, im, id

      isec = nsec_of(kt)
      idays = isec/86400_i8
      ksec = int(isec - idays*86400_i8)
      iy = nn_date0/10000
      im = mod(nn_date0/100, 100)
      id = mod(nn_date0, 100)
      idays = idays + int(id - 1, i8)
      do id = 1, im - 1
         idays = idays + int(month_days(iy, id), i8)
      end do
      do while (idays >= int(year_days(iy), i8))
         idays = idays - int(year_days(iy), i8)
         iy = iy + 1
      end do
      kday = int(idays) + 1
      id = kday
      im = 1
      do while (id > month_days(iy, im))
         id = id - month_days(iy, im)
         im = im + 1
      end do
      kdate = iy*10000 + im*100 + id
   end subroutine day_of

   !> Date at the end of step kt as one number, YYYYMMDD.HHMMSS: NEMO's way in files of an assimilation.
   pure real(dp) function rdate_of(kt)
      integer, intent(in) :: kt
      integer :: idate, isec, iday
      call day_of(kt, idate, isec, iday)
      rdate_of = real(idate, dp) + 1.e-6_dp*real((isec/3600)*10000 + mod(isec/60, 60)*100 + mod(isec, 60), dp)
   end function rdate_of

   !> Part of the year that has passed at the end of step kt, in [0, 1).
   pure real(dp) function ryear_frac(kt)
      integer, intent(in) :: kt
      integer :: idate, isec, iday
      call day_of(kt, idate, isec, iday)
      ryear_frac = (real(iday - 1, dp) + real(isec, dp)/86400._dp)/real(year_days(idate/10000), dp)
   end function ryear_frac

   pure integer function year_days(ky)
      integer, intent(in) :: ky
      select case (nn_leapy)
      case (0)
         year_days = 365
      case (1)
         year_days = merge(366, 365, (mod(ky, 4) == 0 .and. mod(ky, 100) /= 0) .or. mod(ky, 400) == 0)
      case default
         year_days = 360
      end select
   end function year_days

   pure integer function month_days(ky, km)
      integer, intent(in) :: ky, km
      month_days = jp_normal(km)
      if (nn_leapy == 30) month_days = 30
      if (km == 2 .and. year_days(ky) == 366) month_days = 29
   end function month_days
end module daymod
