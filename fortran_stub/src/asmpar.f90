!> Assimilation: the switches of &nam_asminc, when a background or an analysis is due, and the weights of the update.
!!
!! An analysis belongs to the end of a step: with nn_asmwin to every nn_asmwin-th step of the experiment, else, as in NEMO, to one
!! step counted from nn_it000 - 1. The state at the end of that step is its background.
module asmpar
   use par_kind, only: wp, dp
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lc, lwp, numout, nn_it000, nn_itend
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: asm_par_init, asm_bkg_due, asm_bkg_name, asm_inc_name, asm_weight

   logical, public :: ln_bkgwri = .false.   !< write the background
   logical, public :: ln_asmdin = .false.   !< insert the increments at once
   logical, public :: ln_asmiau = .false.   !< spread them over steps: incremental analysis update
   logical, public :: ln_trainc = .false.   !< temperature
   logical, public :: ln_dyninc = .false.   !< velocity
   logical, public :: ln_thkinc = .false.   !< thickness
   logical, public :: ln_sshinc = .false.   !< surface height, as thickness of layer 1
   integer, public :: nitbkg = 0            !< step of the background, from nn_it000 - 1
   integer, public :: nitdin = 0            !< step of the insertion
   integer, public :: nitiaustr = 1         !< first step of the update
   integer, public :: nitiaufin = 15        !< last step of the update
   integer, public :: niaufn = 0            !< its weights: 0 flat, 1 hat
   integer, public :: nn_asmwin = 0         !< steps from one analysis to the next; 0: one analysis
   real(wp), public :: rn_asmwait = 60._wp  !< longest wait for the increments of a window [s]

   logical, public :: l_asminc = .false.    !< increments are added, or backgrounds written

contains

   !> Read and check &nam_asminc.
   subroutine asm_par_init(ldtra)
      logical, intent(in) :: ldtra   !< the ocean carries temperature
      namelist /nam_asminc/ ln_bkgwri, ln_asmdin, ln_asmiau, ln_trainc, ln_dyninc, ln_thkinc, ln_sshinc, nitbkg, nitdin, &
      &  nitiaustr, nitiaufin, niaufn, nn_asmwin, rn_asmwait
      integer :: ios
      do while (nam_next('nam_asminc'))
         read (cnam, nam_asminc, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      l_asminc = ln_bkgwri .or. ln_asmdin .or. ln_asmiau
      call check_switches(ldtra)
      if (nn_asmwin == 0) call check_steps()
      if (.not. (l_asminc .and. lwp)) return
      write (numout, '(4(a,l1))') ' asm_par_init: background ', ln_bkgwri .or. nn_asmwin > 0, ', direct insertion ', ln_asmdin, &
      &  ', incremental update ', ln_asmiau, merge(' (hat)  ', ' (flat) ', niaufn == 1)//'temperature ', ln_trainc
      write (numout, '(3(a,l1),a,i0)') '               velocity ', ln_dyninc, ', thickness ', ln_thkinc, ', surface height ', &
      &  ln_sshinc, ', steps of a window (0: one analysis) ', nn_asmwin
   end subroutine asm_par_init

   subroutine check_switches(ldtra)
      logical, intent(in) :: ldtra
      logical :: ll_how, ll_what
      ll_how = ln_asmdin .or. ln_asmiau
      ll_what = any([ln_trainc, ln_dyninc, ln_thkinc, ln_sshinc])
      if (ln_asmdin .and. ln_asmiau) call ctl_stop('ln_asmdin and ln_asmiau are both set: increments would be added twice.', &
      &  both('ln_asmdin', 'ln_asmiau'), 'Set one of them to .false.')
      if (ll_how .and. .not. ll_what) call ctl_stop('no field is to be changed by the increments.', &
      &  both('ln_asmdin', 'ln_asmiau'), 'Set ln_trainc, ln_dyninc, ln_thkinc or ln_sshinc.')
      if (ll_what .and. .not. ll_how) call ctl_stop('fields are to be changed, but nothing says how.', &
      &  both('ln_trainc', 'ln_dyninc'), 'Set ln_asmdin (direct insertion) or ln_asmiau (incremental update).')
      if (ln_thkinc .and. ln_sshinc) call ctl_stop('ln_thkinc and ln_sshinc both change the thickness of layer 1.', &
      &  both('ln_thkinc', 'ln_sshinc'), 'Set one of them to .false.')
      if (ln_trainc .and. .not. ldtra) call ctl_stop('ln_trainc changes the temperature, which this ocean does not carry.', &
      &  nam_where('nam_asminc', 'ln_trainc')//', '//nam_where('namtra', 'ln_tra'), 'Set ln_trainc = .false., or ln_tra = .true.')
      if (all(niaufn /= [0, 1])) call ctl_stop('niaufn must be 0 (flat) or 1 (hat).', nam_where('nam_asminc', 'niaufn'))
      if (nn_asmwin < 0) call ctl_stop('nn_asmwin must not be negative.', nam_where('nam_asminc', 'nn_asmwin'), &
      &  '0 makes one analysis, at nitdin or from nitiaustr to nitiaufin.')
      if (nn_asmwin > 0 .and. .not. l_asminc) call ctl_stop('nn_asmwin gives the length of a window, but nothing is to be done.', &
      &  nam_where('nam_asminc', 'nn_asmwin'), 'Set ln_bkgwri, ln_asmdin or ln_asmiau.')
      if (.not. rn_asmwait > 0._wp) call ctl_stop('rn_asmwait must be positive.', nam_where('nam_asminc', 'rn_asmwait'))
   end subroutine check_switches

   !> The steps of a single analysis must lie in the run.
   subroutine check_steps()
      integer :: insteps
      character(len=80) :: cl
      insteps = nn_itend - nn_it000 + 1
      write (cl, '(a,i0,a)') 'Steps count from nn_it000 - 1; this run has ', insteps, '.'
      if (ln_bkgwri .and. (nitbkg < 0 .or. nitbkg > insteps)) call ctl_stop('nitbkg is no step of this run.', &
      &  nam_where('nam_asminc', 'nitbkg'), cl)
      if (ln_asmdin .and. (nitdin < 0 .or. nitdin >= insteps)) &
      &  call ctl_stop('no step of this run follows the insertion at nitdin.', nam_where('nam_asminc', 'nitdin'), cl)
      if (.not. ln_asmiau) return
      if (nitiaufin < nitiaustr) call ctl_stop('nitiaufin must not be less than nitiaustr.', both('nitiaustr', 'nitiaufin'))
      if (nitiaufin < 1 .or. nitiaustr > insteps) call ctl_stop('the steps nitiaustr to nitiaufin are no steps of this run.', &
      &  both('nitiaustr', 'nitiaufin'), cl)
      if (nn_it000 - 1 + nitiaustr < 1) call ctl_stop('the update would have begun before the experiment.', &
      &  nam_where('nam_asminc', 'nitiaustr'), cl)
   end subroutine check_steps

   function both(cdone, cdtwo) result(cdwhere)
      character(len=*), intent(in) :: cdone, cdtwo
      character(len=:), allocatable :: cdwhere
      cdwhere = nam_where('nam_asminc', cdone)//', '//nam_where('nam_asminc', cdtwo)
   end function both

   !> The state at the end of step kt is a background that is to be written.
   pure logical function asm_bkg_due(kt)
      integer, intent(in) :: kt   !< step
      if (nn_asmwin > 0) then
         asm_bkg_due = kt > 0 .and. mod(kt, nn_asmwin) == 0
      else
         asm_bkg_due = ln_bkgwri .and. kt == nn_it000 - 1 + nitbkg
      end if
   end function asm_bkg_due

   !> Name of the background file of step kt.
   function asm_bkg_name(kt) result(cdname)
      integer, intent(in) :: kt   !< step
      character(len=lc) :: cdname
      cdname = 'assim_background_state_DI.nc'
      if (nn_asmwin > 0) write (cdname, '(a,i8.8,a)') 'assim_background_state_DI_', kt, '.nc'
   end function asm_bkg_name

   !> Name of the file of the increments of step kt.
   function asm_inc_name(kt) result(cdname)
      integer, intent(in) :: kt   !< step
      character(len=lc) :: cdname
      cdname = 'assim_background_increments.nc'
      if (nn_asmwin > 0) write (cdname, '(a,i8.8,a)') 'assim_background_increments_', kt, '.nc'
   end function asm_inc_name

   !> Part of the increment that step kstep of ksteps adds: 1/n, or linear up to the middle and down again. The sum is 1.
   pure real(wp) function asm_weight(kstep, ksteps)
      integer, intent(in) :: kstep    !< 1 to ksteps
      integer, intent(in) :: ksteps   !< steps of the update
      if (niaufn == 0) then
         asm_weight = real(1._dp/real(ksteps, dp), wp)
      else   ! 1 + 2 + ... + n/2 + ... + 2 + 1, with the middle once for odd n: the integer part of (n + 1)**2 / 4
         asm_weight = real(real(min(kstep, ksteps + 1 - kstep), dp)/real((ksteps + 1)*(ksteps + 1)/4, dp), wp)
      end if
   end function asm_weight
end module asmpar
